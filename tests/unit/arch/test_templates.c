/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU templates (devices.md 9): every cell of the static tables, host checks, custom templates and
 * the merge of template MSRs. Single thread.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/arch/x86_64/cpuid_int.h"

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

static const struct arch_host_cpu skylake = {"GenuineIntel", 0x6, 0x55, 4};
static const struct arch_host_cpu cascade_lake = {"GenuineIntel", 0x6, 0x55, 7};
static const struct arch_host_cpu ice_lake = {"GenuineIntel", 0x6, 0x6a, 6};
static const struct arch_host_cpu milan = {"AuthenticAMD", 0x19, 0x1, 1};
static const struct arch_host_cpu rome = {"AuthenticAMD", 0x17, 0x31, 0};

/* devices.md 9.2 once more, column by column: C3, T2 and T2S, T2CL, T2A. */
enum column { COLUMN_C3, COLUMN_T2, COLUMN_T2CL, COLUMN_T2A, COLUMN_COUNT };

struct cell {
    uint32_t mask;
    uint32_t value;
};

struct row {
    uint32_t leaf;
    uint32_t subleaf;
    uint32_t flags;
    uint32_t reg; /* 0 eax .. 3 edx */
    struct cell cells[COLUMN_COUNT];
};

#define SAME(mask, value)                                                                          \
    {mask, value}, {mask, value},                                                                  \
    {                                                                                              \
        mask, value                                                                                \
    }

static const struct row rows[] = {
    {0x1, 0, 0, 0, {{0x0fff3fff, 0x000306e4}, SAME(0x0fff3fff, 0x000306f2)}},
    {0x1, 0, 0, 2, {{0x0040dd3c, 0}, SAME(0x0004cdfc, 0)}},
    {0x1, 0, 0, 3, {{0xa8641080, 0x00001080}, SAME(0xe8641080, 0x00001080)}},
    {0x7, 0, INDEXED, 1, {{0xffafdd3c, 0}, SAME(0xffefda14, 0x00000200)}},
    {0x7, 0, INDEXED, 2, {{0x4041481e, 0}, SAME(0x40415f5e, 0)}},
    {0x7, 0, INDEXED, 3, {{0x0000000c, 0}, SAME(0x0000011c, 0)}},
    {0xd, 0, INDEXED, 0, {{0x000002f8, 0}, SAME(0x000002f8, 0)}},
    {0xd, 1, INDEXED, 0, {{0x0000000e, 0}, SAME(0x0000000e, 0)}},
    {0x80000001, 0, 0, 2, {{0x120, 0}, {0x20000100, 0}, {0x200001c0, 0}, {0x200001c4, 0}}},
    {0x80000001, 0, 0, 3, {{0x04000000, 0}, {0x04000000, 0}, {0x07c00000, 0}, {0x06400000, 0}}},
    {0x80000008, 0, 0, 1, {{0, 0}, {0x200, 0}, {0x200, 0}, {0x001c0205, 0x001c0004}}},
};

/* A list with the leaves of the table, every register `fill`. */
static void make_list(struct hv_cpuid *ret_cpuid, uint32_t fill)
{
    static const uint32_t leaves[][2] = {{0x1, 0}, {0x7, 0},        {0xd, 0},
                                         {0xd, 1}, {0x80000001, 0}, {0x80000008, 0}};
    *ret_cpuid = (struct hv_cpuid){.count = ARRAY_LEN(leaves)};
    for (size_t i = 0; i < ARRAY_LEN(leaves); i++)
        ret_cpuid->entries[i] = (struct kvm_cpuid_entry2){.function = leaves[i][0],
                                                          .index = leaves[i][1],
                                                          .eax = fill,
                                                          .ebx = fill,
                                                          .ecx = fill,
                                                          .edx = fill};
}

static uint32_t get_reg(struct hv_cpuid *cpuid, uint32_t leaf, uint32_t subleaf, uint32_t reg)
{
    const struct kvm_cpuid_entry2 *entry = arch_cpuid_find(cpuid, leaf, subleaf);
    assert_non_null(entry);
    const uint32_t regs[] = {entry->eax, entry->ebx, entry->ecx, entry->edx};
    return regs[reg];
}

/* The cell of a register in a column, or NULL when the column leaves the register alone. */
static const struct cell *cell_of(const struct kvm_cpuid_entry2 *entry, uint32_t reg,
                                  enum column column)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        if (row->leaf == entry->function && row->subleaf == entry->index && row->reg == reg &&
            row->cells[column].mask != 0) {
            assert_int_equal(entry->flags, row->flags);
            return &row->cells[column];
        }
    }
    return NULL;
}

/* All registers of all leaves are as the column says, whatever they were. */
static void check_column(enum cfg_template name, enum column column, uint32_t fill)
{
    struct hv_cpuid cpuid;
    make_list(&cpuid, fill);
    struct arch_cpu_config config = {.vcpus_count = 1, .static_template = name};
    struct arch_template template = arch_template_of(&config);
    struct err err = ERR_INIT;
    assert_int_equal(arch_template_cpuid(&cpuid, &template, &err), 0);

    uint32_t touched = 0;
    for (uint32_t i = 0; i < cpuid.count; i++) {
        const struct kvm_cpuid_entry2 *entry = &cpuid.entries[i];
        for (uint32_t reg = 0; reg < 4; reg++) {
            const struct cell *cell = cell_of(entry, reg, column);
            uint32_t want = cell ? (fill & ~cell->mask) | cell->value : fill;
            touched += cell != NULL;
            assert_int_equal(get_reg(&cpuid, entry->function, entry->index, reg), want);
        }
    }
    assert_int_equal(touched, column == COLUMN_C3 ? 10 : 11);
}

static void test_arch_template_cpuid__static__every_cell_of_the_table(void **state)
{
    (void)state;
    static const struct {
        enum cfg_template name;
        enum column column;
    } columns[] = {
        {CFG_TEMPLATE_C3, COLUMN_C3},   {CFG_TEMPLATE_T2, COLUMN_T2},
        {CFG_TEMPLATE_T2S, COLUMN_T2},  {CFG_TEMPLATE_T2CL, COLUMN_T2CL},
        {CFG_TEMPLATE_T2A, COLUMN_T2A},
    };
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        check_column(columns[i].name, columns[i].column, 0);
        check_column(columns[i].name, columns[i].column, UINT32_MAX);
        check_column(columns[i].name, columns[i].column, 0x5a5a5a5a);
    }
}

static void test_arch_template_of__static__msrs_of_t2s_and_t2cl_only(void **state)
{
    (void)state;
    struct arch_cpu_config config = {.static_template = CFG_TEMPLATE_T2S};
    struct arch_template template = arch_template_of(&config);
    assert_int_equal(template.msrs_count, 1);
    assert_int_equal(template.msrs[0].addr, 0x10a);
    assert_true(template.msrs[0].mask == UINT64_MAX);
    assert_true(template.msrs[0].value == 0x000000000c0a0c4c);

    config.static_template = CFG_TEMPLATE_T2CL;
    template = arch_template_of(&config);
    assert_int_equal(template.msrs_count, 1);
    assert_int_equal(template.msrs[0].addr, 0x10a);
    assert_true(template.msrs[0].mask == 0xffffffffe2f51e00);
    assert_true(template.msrs[0].value == 0);

    static const enum cfg_template others[] = {CFG_TEMPLATE_C3, CFG_TEMPLATE_T2, CFG_TEMPLATE_NONE,
                                               CFG_TEMPLATE_T2A};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        config.static_template = others[i];
        assert_int_equal(arch_template_of(&config).msrs_count, 0);
    }
}

static void test_arch_template_of__none__empty(void **state)
{
    (void)state;
    struct arch_cpu_config config = {.static_template = CFG_TEMPLATE_NONE};
    struct arch_template template = arch_template_of(&config);
    assert_int_equal(template.cpuid_count, 0);
    assert_int_equal(template.msrs_count, 0);
}

/* want: y permitted, v other vendor, m other model. */
static void check_pair(const struct arch_host_cpu *host, enum cfg_template name, char want)
{
    struct arch_cpu_config config = {.static_template = name};
    struct err err = ERR_INIT;
    int rc = arch_template_check(host, &config, &err);
    if (want == 'y') {
        assert_int_equal(rc, 0);
        return;
    }
    assert_int_equal(rc, -EINVAL);
    assert_string_equal(err.msg, want == 'v'
                                     ? "Failed to get CPU template: CPU vendor mismatched between "
                                       "actual CPU and CPU template."
                                     : "Failed to get CPU template: The current CPU model is not "
                                       "permitted to apply the CPU template.");
}

static void test_arch_template_check__every_pair__as_the_model_table(void **state)
{
    (void)state;
    static const struct arch_host_cpu *const hosts[] = {&skylake, &cascade_lake, &ice_lake, &milan,
                                                        &rome};
    /* One letter a host of the list above. */
    static const struct {
        enum cfg_template name;
        const char *want;
    } table[] = {
        {CFG_TEMPLATE_C3, "yyyvv"},   {CFG_TEMPLATE_T2, "yyyvv"},  {CFG_TEMPLATE_T2S, "yymvv"},
        {CFG_TEMPLATE_T2CL, "myyvv"}, {CFG_TEMPLATE_T2A, "vvvym"}, {CFG_TEMPLATE_NONE, "yyyyy"},
    };
    for (size_t t = 0; t < ARRAY_LEN(table); t++)
        for (size_t h = 0; h < ARRAY_LEN(hosts); h++)
            check_pair(hosts[h], table[t].name, table[t].want[h]);
}

static void test_arch_template_check__other_stepping__not_permitted(void **state)
{
    (void)state;
    struct arch_host_cpu host = milan;
    host.stepping = 0;
    struct arch_cpu_config config = {.static_template = CFG_TEMPLATE_T2A};
    struct err err = ERR_INIT;
    assert_int_equal(arch_template_check(&host, &config, &err), -EINVAL);
}

static void test_arch_template_check__custom_template__any_host(void **state)
{
    (void)state;
    struct cfg_cpu_template custom = {.cpuid_count = 0};
    struct arch_cpu_config config = {.static_template = CFG_TEMPLATE_T2,
                                     .custom_template = &custom};
    struct err err = ERR_INIT;
    assert_int_equal(arch_template_check(&rome, &config, &err), 0);
    assert_int_equal(arch_template_of(&config).cpuid_count, 0);
}

static void test_arch_template_cpuid__unknown_leaf__sentence_in_hex(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    make_list(&cpuid, 0);
    struct cfg_cpuid_modifier mod = {.leaf = 0x8000001d, .subleaf = 0x1a};
    struct cfg_cpu_template custom = {.cpuid = &mod, .cpuid_count = 1};
    struct arch_cpu_config config = {.custom_template = &custom};
    struct arch_template template = arch_template_of(&config);
    struct err err = ERR_INIT;
    assert_int_equal(arch_template_cpuid(&cpuid, &template, &err), -EINVAL);
    assert_string_equal(err.msg, "Template changes a CPUID entry not supported by KVM: Leaf: "
                                 "8000001d, Subleaf: 1a");
}

static void test_arch_template_cpuid__custom__flags_overwritten(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    make_list(&cpuid, 0xf0f0f0f0);
    cpuid.entries[0].flags = 7;
    struct cfg_cpuid_modifier mod = {
        .leaf = 0x1, .flags = 2, .mask = {0xff, 0, 0, 0xf0000000}, .value = {0x12, 0, 0, 0}};
    struct cfg_cpu_template custom = {.cpuid = &mod, .cpuid_count = 1};
    struct arch_cpu_config config = {.custom_template = &custom};
    struct arch_template template = arch_template_of(&config);
    struct err err = ERR_INIT;
    assert_int_equal(arch_template_cpuid(&cpuid, &template, &err), 0);
    assert_int_equal(cpuid.entries[0].flags, 2);
    assert_int_equal(cpuid.entries[0].eax, 0xf0f0f012);
    assert_int_equal(cpuid.entries[0].ebx, 0xf0f0f0f0);
    assert_int_equal(cpuid.entries[0].edx, 0x00f0f0f0);
}

static void test_arch_cpuid_prepare__template_and_normalisation__normalisation_wins(void **state)
{
    (void)state;
    struct hv_cpuid cpuid = {
        .count = 2,
        .entries = {{.function = 0x0, .eax = 0x7}, {.function = 0x1, .ecx = 0}},
    };
    struct cfg_cpuid_modifier mod = {
        .leaf = 0x1, .mask = {0xff, 0, 1u << 24 | 1, 0}, .value = {0x12, 0, 1, 0}};
    struct cfg_cpu_template custom = {.cpuid = &mod, .cpuid_count = 1};
    struct arch_cpu_config config = {.vcpus_count = 1, .custom_template = &custom};
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_prepare(&cpuid, &milan, &config, &err), 0);
    const struct kvm_cpuid_entry2 *entry = arch_cpuid_find(&cpuid, 0x1, 0);
    assert_int_equal(entry->eax, 0x12);
    assert_int_equal(entry->ecx, 1u << 31 | 1u << 24 | 1);
}

static void test_arch_cpuid_prepare__wrong_host__list_untouched_and_einval(void **state)
{
    (void)state;
    struct hv_cpuid cpuid;
    make_list(&cpuid, 0x11);
    struct arch_cpu_config config = {.vcpus_count = 1, .static_template = CFG_TEMPLATE_T2A};
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_prepare(&cpuid, &ice_lake, &config, &err), -EINVAL);
    assert_int_equal(cpuid.entries[0].eax, 0x11);
}

static void test_arch_template_msrs_merge__new_msr__masked_bits_replaced(void **state)
{
    (void)state;
    struct cfg_msr_modifier mod = {.addr = 0x10a, .mask = 0xff00000000000ff0, .value = 0x550};
    struct arch_template template = {.msrs = &mod, .msrs_count = 1};
    struct hv_msrs current = {.count = 1,
                              .entries = {{.index = 0x10a, .data = 0x1234567890abcdef}}};
    struct hv_msrs msrs = {.count = 1, .entries = {{.index = 0x1a0, .data = 1}}};
    struct err err = ERR_INIT;
    assert_int_equal(arch_template_msrs_merge(&template, &current, &msrs, &err), 0);
    assert_int_equal(msrs.count, 2);
    assert_int_equal(msrs.entries[1].index, 0x10a);
    assert_true(msrs.entries[1].data == 0x0034567890abc55f);
}

static void test_arch_template_msrs_merge__boot_msr__boot_value_wins(void **state)
{
    (void)state;
    struct cfg_msr_modifier mod = {.addr = 0x1a0, .mask = UINT64_MAX, .value = 0};
    struct arch_template template = {.msrs = &mod, .msrs_count = 1};
    struct hv_msrs current = {.count = 1, .entries = {{.index = 0x1a0, .data = 0x850089}}};
    struct hv_msrs msrs;
    arch_boot_msrs(&msrs);
    uint32_t boot_count = msrs.count;
    struct err err = ERR_INIT;
    assert_int_equal(arch_template_msrs_merge(&template, &current, &msrs, &err), 0);
    assert_int_equal(msrs.count, boot_count);
}

static void test_arch_template_msrs_merge__same_msr_twice__both_masks_applied(void **state)
{
    (void)state;
    struct cfg_msr_modifier mods[] = {{.addr = 0x10a, .mask = 0xf, .value = 0x1},
                                      {.addr = 0x10a, .mask = 0xf0, .value = 0x20}};
    struct arch_template template = {.msrs = mods, .msrs_count = 2};
    struct hv_msrs current = {
        .count = 2, .entries = {{.index = 0x10a, .data = 0xfff}, {.index = 0x10a, .data = 0xfff}}};
    struct hv_msrs msrs = {.count = 0};
    struct err err = ERR_INIT;
    assert_int_equal(arch_template_msrs_merge(&template, &current, &msrs, &err), 0);
    assert_int_equal(msrs.count, 1);
    assert_true(msrs.entries[0].data == 0xf21);
}

static void test_arch_template_msrs_merge__list_full__enospc_names_the_msr(void **state)
{
    (void)state;
    struct cfg_msr_modifier mod = {.addr = 0x10a, .mask = 1, .value = 1};
    struct arch_template template = {.msrs = &mod, .msrs_count = 1};
    struct hv_msrs current = {.count = 1, .entries = {{.index = 0x10a}}};
    struct hv_msrs msrs = {.count = HV_MSRS_MAX};
    struct err err = ERR_INIT;
    assert_int_equal(arch_template_msrs_merge(&template, &current, &msrs, &err), -ENOSPC);
    assert_non_null(strstr(err.msg, "0x10a"));
    assert_int_equal(msrs.count, HV_MSRS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arch_template_cpuid__static__every_cell_of_the_table),
        cmocka_unit_test(test_arch_template_of__static__msrs_of_t2s_and_t2cl_only),
        cmocka_unit_test(test_arch_template_of__none__empty),
        cmocka_unit_test(test_arch_template_check__every_pair__as_the_model_table),
        cmocka_unit_test(test_arch_template_check__other_stepping__not_permitted),
        cmocka_unit_test(test_arch_template_check__custom_template__any_host),
        cmocka_unit_test(test_arch_template_cpuid__unknown_leaf__sentence_in_hex),
        cmocka_unit_test(test_arch_template_cpuid__custom__flags_overwritten),
        cmocka_unit_test(test_arch_cpuid_prepare__template_and_normalisation__normalisation_wins),
        cmocka_unit_test(test_arch_cpuid_prepare__wrong_host__list_untouched_and_einval),
        cmocka_unit_test(test_arch_template_msrs_merge__new_msr__masked_bits_replaced),
        cmocka_unit_test(test_arch_template_msrs_merge__boot_msr__boot_value_wins),
        cmocka_unit_test(test_arch_template_msrs_merge__same_msr_twice__both_masks_applied),
        cmocka_unit_test(test_arch_template_msrs_merge__list_full__enospc_names_the_msr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
