/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/ctl/action.c: every kind of action gives back what it owns. AddressSanitizer
 * looks for what was forgotten.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/config/cfg_fields.h"
#include "vmm/ctl/action.h"

/* The tables of what owns something, written down once more: one that action.c forgets leaks. */
static const struct {
    enum ctl_action_kind kind;
    const struct cfg_object *object;
} owners[] = {
    {CTL_BOOT_SOURCE_PUT, &cfg_object_boot_source},
    {CTL_MACHINE_CONFIG_PUT, &cfg_object_machine},
    {CTL_MACHINE_CONFIG_PATCH, &cfg_object_machine_patch},
    {CTL_CPU_CONFIG_PUT, &cfg_object_cpu_template},
    {CTL_DRIVE_PUT, &cfg_object_drive},
    {CTL_NIC_PUT, &cfg_object_nic},
    {CTL_VSOCK_PUT, &cfg_object_vsock},
    {CTL_MMDS_CONFIG_PUT, &cfg_object_mmds},
    {CTL_LOGGER_PUT, &cfg_object_logger},
    {CTL_METRICS_PUT, &cfg_object_metrics},
    {CTL_SERIAL_PUT, &cfg_object_serial},
    {CTL_DRIVE_PATCH, &cfg_object_drive_patch},
    {CTL_NIC_PATCH, &cfg_object_nic_patch},
    {CTL_SNAPSHOT_CREATE, &cfg_object_snapshot_create},
    {CTL_SNAPSHOT_LOAD, &cfg_object_snapshot_load},
};

static void fill(const struct cfg_object *object, void *obj);

/* One element in the list. */
static void fill_list(const struct cfg_list *list, void *owner)
{
    struct err err = ERR_INIT;
    if (!list->object) {
        assert_int_equal(list->add(owner, "1", &err), 0); /* an id, or a capability */
        return;
    }
    void *elem = calloc(1, list->object->size);
    assert_non_null(elem);
    fill(list->object, elem);
    assert_int_equal(list->add(owner, elem, &err), 0);
    cfg_object_done(list->object, elem);
    free(elem);
}

/* Gives everything that can own something something to own. */
static void fill(const struct cfg_object *object, void *obj)
{
    for (uint32_t i = 0; i < object->fields_count; i++) {
        const struct cfg_field *field = &object->fields[i];
        void *member = (char *)obj + field->off;
        if (field->type == CFG_TYPE_OBJECT) {
            fill(field->object, member);
        } else if (field->type == CFG_TYPE_LIST) {
            fill_list(field->list, obj);
        } else if (cfg_type_is_text(field->type)) {
            char *text = strdup("owned");
            assert_non_null(text);
            memcpy(member, &text, sizeof(text));
        }
    }
}

static void test_ctl_action_done__every_kind_that_owns_something__freed_and_zeroed(void **state)
{
    static const struct ctl_action zero;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
        struct ctl_action action = {.kind = owners[i].kind};
        fill(owners[i].object, &action.u);
        ctl_action_done(&action);
        assert_memory_equal(&action, &zero, sizeof(zero));
        ctl_action_done(&action); /* an empty one is fine */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ctl_action_done__every_kind_that_owns_something__freed_and_zeroed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
