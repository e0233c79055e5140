/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which capabilities of a CPU template are looked up. Most tests bring a KVM that answers nothing,
 * so that whatever is looked up is missing. Single thread.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "vmm/machine/machine_int.h"

static const struct hv mute = {.fd = -1};

/* The words of a template as a check finds them, and its sentence ("": nothing is missing). */
static void check(const struct cfg_capability *words, uint32_t count, const char *sentence)
{
    struct cfg_cpu_template tmpl = {.caps_count = count};
    struct err err = ERR_INIT;
    memcpy(tmpl.caps, words, count * sizeof(*words));
    int rc = machine_check_capabilities(&mute, &tmpl, &err);
    assert_string_equal(err.msg, sentence);
    assert_int_equal(rc, *sentence ? -EOPNOTSUPP : 0);
}

static void test_machine_check_capabilities__last_word_counts(void **state)
{
    (void)state;
    static const struct cfg_capability words[] = {{1, false}, {2, true},    {1, true},
                                                  {2, false}, {171, false}, {2, false}};
    check(words, 0, "");
    check(words, 1, "Missing KVM capabilities: 0x1");
    check(words, 2, "Missing KVM capabilities: 0x1");
    check(words, 3, "");
    check(words, 4, "Missing KVM capabilities: 0x2");
    check(words, 5, "Missing KVM capabilities: 0x2, 0xab");
    check(words, 6, "Missing KVM capabilities: 0xab, 0x2");
}

static void test_machine_check_capabilities__all_words_missing__sentence_is_cut(void **state)
{
    (void)state;
    struct cfg_cpu_template tmpl = {.caps_count = CFG_CAPABILITIES_MAX};
    struct err err = ERR_INIT;
    for (uint32_t i = 0; i < CFG_CAPABILITIES_MAX; i++)
        tmpl.caps[i].number = UINT32_MAX - i;
    assert_int_equal(machine_check_capabilities(&mute, &tmpl, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.msg, ": 0xffffffff, 0xfffffffe, "));
    assert_string_equal(err.msg + strlen(err.msg) - 3, "...");
}

static void test_machine_check_capabilities__this_kvm__has_memory_and_not_65000(void **state)
{
    (void)state;
    struct cfg_cpu_template tmpl = {.caps = {{KVM_CAP_USER_MEMORY, false}}, .caps_count = 1};
    struct err err = ERR_INIT;
    struct hv hv;
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        skip();
    assert_int_equal(hv_open("/dev/kvm", &hv, &err), 0);
    assert_int_equal(machine_check_capabilities(&hv, &tmpl, &err), 0);
    tmpl.caps[tmpl.caps_count++].number = 65000;
    assert_int_equal(machine_check_capabilities(&hv, &tmpl, &err), -EOPNOTSUPP);
    assert_string_equal(err.msg, "Missing KVM capabilities: 0xfde8");
    hv_close(&hv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machine_check_capabilities__last_word_counts),
        cmocka_unit_test(test_machine_check_capabilities__all_words_missing__sentence_is_cut),
        cmocka_unit_test(test_machine_check_capabilities__this_kvm__has_memory_and_not_65000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
