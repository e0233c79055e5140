/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/config/cfg_object.c and cfg_fields.c: the tables are consistent, and objects under them start
 * with their defaults and give back what they own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/config/cfg_fields.h"

static void test_cfg_objects__every_field__table_is_consistent(void **state)
{
    (void)state;
    for (size_t i = 0; cfg_objects[i]; i++) {
        const struct cfg_object *object = cfg_objects[i];
        assert_in_range(object->fields_count, 1, CFG_FIELDS_MAX);
        for (uint32_t k = 0; k < object->fields_count; k++) {
            const struct cfg_field *field = &object->fields[k];
            uint32_t idx = UINT32_MAX;
            assert_in_range(field->off, 0, object->size - 1);
            assert_ptr_equal(cfg_object_find(object, field->name, &idx),
                             field); /* names are unique */
            assert_int_equal(idx, k);
            assert_int_equal(field->type == CFG_TYPE_ENUM, field->enum_names != NULL);
            assert_int_equal(field->type == CFG_TYPE_OBJECT, field->object != NULL);
            assert_int_equal(field->type == CFG_TYPE_LIST, field->list != NULL);
            assert_true(field->has_off == CFG_NO_OFF || field->has_off < object->size);
            /* Required and "null means absent" exclude each other. */
            assert_false((field->flags & CFG_REQUIRED) && (field->flags & CFG_NULLABLE));
            if (cfg_type_max(field->type) > 0)
                assert_true(field->max <= cfg_type_max(field->type) && field->min <= field->max);
            assert_true(!field->nul_text || object->category);
            if (field->nul_text || field->default_text)
                assert_true(cfg_type_is_text(field->type));
        }
    }
}

static bool owns_something(const struct cfg_object *object)
{
    for (uint32_t i = 0; i < object->fields_count; i++) {
        const struct cfg_field *field = &object->fields[i];
        if (cfg_type_is_text(field->type) || (field->list && field->list->done))
            return true;
    }
    return false;
}

static void test_cfg_objects__list_elements__what_they_own_is_freed(void **state)
{
    (void)state;
    /* The contract of struct cfg_list: add copies what it keeps, and done frees that. */
    for (size_t i = 0; cfg_objects[i]; i++) {
        for (uint32_t k = 0; k < cfg_objects[i]->fields_count; k++) {
            const struct cfg_list *list = cfg_objects[i]->fields[k].list;
            if (list && list->object && owns_something(list->object))
                assert_non_null(list->done);
        }
    }
}

static void test_cfg_object_init__every_object__defaults(void **state)
{
    (void)state;
    for (size_t i = 0; cfg_objects[i]; i++) {
        const struct cfg_object *object = cfg_objects[i];
        unsigned char *obj = malloc(object->size);
        assert_non_null(obj);
        memset(obj, 0xa5, object->size);
        cfg_object_init(object, obj);
        for (uint32_t k = 0; k < object->fields_count; k++) {
            const struct cfg_field *field = &object->fields[k];
            if (cfg_type_max(field->type) > 0 || field->type == CFG_TYPE_BOOL ||
                field->type == CFG_TYPE_ENUM)
                assert_int_equal(cfg_field_load(field, obj), field->default_value);
            if (field->has_off != CFG_NO_OFF)
                assert_false(cfg_field_has(field, obj));
        }
        cfg_object_done(object, obj); /* owns nothing, so this frees nothing */
        free(obj);
    }
}

static void test_cfg_object_done__texts__freed_and_defaults_back(void **state)
{
    (void)state;
    for (size_t i = 0; cfg_objects[i]; i++) {
        const struct cfg_object *object = cfg_objects[i];
        void *obj = malloc(object->size);
        void *fresh = malloc(object->size);
        assert_non_null(obj);
        assert_non_null(fresh);
        cfg_object_init(object, obj);
        cfg_object_init(object, fresh);
        for (uint32_t k = 0; k < object->fields_count; k++) {
            const struct cfg_field *field = &object->fields[k];
            char *text =
                cfg_type_is_text(field->type) ? strdup("freed, or a leak is reported") : NULL;
            if (text)
                memcpy((char *)obj + field->off, &text, sizeof(text));
        }
        cfg_object_done(object, obj);
        assert_memory_equal(obj, fresh, object->size);
        free(obj);
        free(fresh);
    }
}

static void test_cfg_field_store__integers__width_of_the_type_only(void **state)
{
    (void)state;
    for (size_t i = 0; cfg_objects[i]; i++) {
        const struct cfg_object *object = cfg_objects[i];
        unsigned char *obj = malloc(object->size);
        assert_non_null(obj);
        for (uint32_t k = 0; k < object->fields_count; k++) {
            const struct cfg_field *field = &object->fields[k];
            uint64_t max = cfg_type_max(field->type);
            if (max == 0)
                continue;
            memset(obj, 0, object->size);
            cfg_field_store(field, obj, max);
            assert_int_equal(cfg_field_load(field, obj), max);
            size_t set = 0;
            for (size_t n = 0; n < object->size; n++)
                set += obj[n] != 0;
            assert_int_equal(set, __builtin_popcountll(max) / 8);
        }
        free(obj);
    }
}

static void test_cfg_object_find__unknown_name__null(void **state)
{
    (void)state;
    uint32_t idx = 5;
    assert_null(cfg_object_find(&cfg_object_machine, "ht_enabled", &idx));
    assert_int_equal(idx, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cfg_objects__every_field__table_is_consistent),
        cmocka_unit_test(test_cfg_objects__list_elements__what_they_own_is_freed),
        cmocka_unit_test(test_cfg_object_init__every_object__defaults),
        cmocka_unit_test(test_cfg_object_done__texts__freed_and_defaults_back),
        cmocka_unit_test(test_cfg_field_store__integers__width_of_the_type_only),
        cmocka_unit_test(test_cfg_object_find__unknown_name__null),
    };
    return cmocka_run_group_tests_name("cfg_object", tests, NULL, NULL);
}
