/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heap pages ahead of their use, by the faults that are left. Single thread.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/heap.h"
#include "tests/unit/unit.h"

#define SIZE (64u * 1024)
#define PAGES (SIZE / 4096u)

static long faults(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}

/* Faults of a first write to as much as was asked for. */
static long faults_of_use(void)
{
    long before = faults();
    char *room = malloc(SIZE - 4096);
    assert_non_null(room);
    memset(room, 1, SIZE - 4096);
    long seen = faults() - before;
    free(room);
    return seen;
}

static bool kernel_can(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    bool can = madvise(page, 4096, MADV_POPULATE_WRITE) == 0;
    assert_int_equal(munmap(page, 4096), 0);
    return can;
}

static void test_heap_populate__then_allocated__hardly_a_fault(void **state)
{
    (void)state;
    if (!kernel_can())
        skip();
    heap_populate(SIZE);
    assert_true(faults_of_use() <= PAGES / 4);
}

static void test_heap_populate__less_than_a_page__nothing_happens(void **state)
{
    (void)state;
    heap_populate(100);
    heap_populate(0);
    free(malloc(SIZE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap_populate__then_allocated__hardly_a_fault),
        cmocka_unit_test(test_heap_populate__less_than_a_page__nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
