/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts how often compiled code really loads the word that it switches on (style.md, section 6).
 * The guest's page is made inaccessible; every load from it faults, is noted, and runs alone with
 * the trap flag set. So it does not matter which instructions the compiler chose. Single thread.
 * tests/style/canary builds it with the release flags.
 *
 * canary SHAPE prints how often the type word was loaded; SHAPE is read, window, naive or twice.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "vmm/mem/gmem.h"

#define GUEST_BASE 0x200000u
#define TYPE_WORD_SIZE 4u
#define TRAP_FLAG 0x100

/* As a block request's header: the type decides, the rest is carried along. */
struct request {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};

static struct {
    uint8_t *page;
    uint32_t loads_at[TYPE_WORD_SIZE]; /* by offset of the load's first byte */
} watch;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    ucontext_t *machine = context;
    size_t off = (size_t)((uint8_t *)info->si_addr - watch.page);
    (void)signal_number;
    if (off >= GMEM_PAGE_SIZE)
        abort(); /* a crash of our own */
    if (off < TYPE_WORD_SIZE)
        watch.loads_at[off]++;
    if (mprotect(watch.page, GMEM_PAGE_SIZE, PROT_READ | PROT_WRITE) != 0)
        abort();
    machine->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_trap(int signal_number, siginfo_t *info, void *context)
{
    ucontext_t *machine = context;
    (void)signal_number;
    (void)info;
    machine->uc_mcontext.gregs[REG_EFL] &= ~(long long)TRAP_FLAG;
    if (mprotect(watch.page, GMEM_PAGE_SIZE, PROT_NONE) != 0)
        abort();
}

/* Seven calls with nothing in common, so that the switch becomes a jump table. */
#define CASE_BODY(name, expression)                                                                \
    static __attribute__((noinline)) uint64_t name(uint64_t sector)                                \
    {                                                                                              \
        __asm__ volatile("" : "+r"(sector));                                                       \
        return (expression);                                                                       \
    }
CASE_BODY(do_read, sector * 3)
CASE_BODY(do_write, sector ^ 0x55)
CASE_BODY(do_flush, ~sector)
CASE_BODY(do_discard, sector << 9)
CASE_BODY(do_id, sector >> 3)
CASE_BODY(do_zero, sector | 1)
CASE_BODY(do_other, sector + 11)

/* Only the type is looked at: then gcc compares it in guest memory and loads it again for the
 * jump. */
static inline __attribute__((always_inline)) uint64_t dispatch(const struct request *request)
{
    switch (request->type) {
    case 0:
        return do_read(0);
    case 1:
        return do_write(0);
    case 2:
        return do_flush(0);
    case 3:
        return do_discard(0);
    case 4:
        return do_id(0);
    case 5:
        return do_zero(0);
    default:
        return do_other(0);
    }
}

static __attribute__((noinline)) uint64_t shape_read(const struct gmem *gmem)
{
    struct request request;
    if (gmem_read(gmem, gpa(GUEST_BASE), &request, sizeof(request)) < 0)
        return 0;
    return dispatch(&request);
}

static __attribute__((noinline)) uint64_t shape_window(const struct gmem_window *window)
{
    struct request request;
    gmem_window_read(window, 0, &request, sizeof(request));
    return dispatch(&request);
}

/* What must never be written: a single copy to look at, two loads in the machine code of some
 * compilers. */
static __attribute__((noinline)) uint64_t shape_naive(const struct request *guest)
{
    struct request request;
    memcpy(&request, guest, sizeof(request));
    return dispatch(&request);
}

/* Two loads whatever the compiler: shows that this program can count them. */
static __attribute__((noinline)) uint64_t shape_twice(const volatile uint32_t *guest)
{
    return *guest < 6 ? *guest : 6;
}

static uint64_t run_shape(const char *shape, struct gmem *gmem, const struct gmem_window *window)
{
    if (strcmp(shape, "read") == 0)
        return shape_read(gmem);
    if (strcmp(shape, "window") == 0)
        return shape_window(window);
    if (strcmp(shape, "naive") == 0)
        return shape_naive((const struct request *)(const void *)watch.page);
    if (strcmp(shape, "twice") == 0)
        return shape_twice((const volatile uint32_t *)(const void *)watch.page);
    fprintf(stderr, "canary: no shape %s\n", shape);
    exit(2);
}

int main(int argc, char **argv)
{
    const struct gmem_range range = {gpa(GUEST_BASE), GMEM_PAGE_SIZE};
    struct gmem *gmem = NULL;
    struct gmem_window window;
    struct err err = ERR_INIT;
    if (argc != 2 || gmem_create(&range, 1, GMEM_BACKING_DEFAULT, false, &gmem, &err) < 0 ||
        gmem_window_open(gmem, gpa(GUEST_BASE), GMEM_PAGE_SIZE, 8, &window) < 0)
        return 2;
    watch.page = gmem_region_at(gmem, 0).host;
    const struct request request = {.type = 4, .sector = 80};
    if (gmem_write(gmem, gpa(GUEST_BASE), &request, sizeof(request)) < 0)
        return 2;

    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSEGV, &fault, NULL) != 0 || sigaction(SIGTRAP, &trap, NULL) != 0 ||
        mprotect(watch.page, GMEM_PAGE_SIZE, PROT_NONE) != 0)
        return 2;
    volatile uint64_t result = run_shape(argv[1], gmem, &window);
    (void)result;

    uint32_t most = 0;
    for (uint32_t off = 0; off < TYPE_WORD_SIZE; off++) {
        if (watch.loads_at[off] > most)
            most = watch.loads_at[off];
    }
    printf("%u\n", most);
    return 0;
}
