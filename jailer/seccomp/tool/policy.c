/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON → rules → BPF → the file. Members that are not known are refused: one that is misspelt must
 * not make a filter wider than it looks.
 */
#include "jailer/seccomp/tool/policy.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json.h"
#include "jailer/seccomp/compile.h"
#include "jailer/seccomp/custom.h"

static bool is_text(struct json_val val, const char *text)
{
    size_t len = 0;
    return json_kind(val) == JSON_KIND_STRING && strcmp(json_as_text(val, &len), text) == 0;
}

/* {"errno": N} or {"trace": N}. */
static int number_action(struct json_val val, uint32_t *ret_action, struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    json_iter_init(&iter, val);
    if (json_count(val) != 1 || !json_iter_next(&iter, &item) ||
        json_kind(item.val) != JSON_KIND_INT)
        return json_err_unexpected(
            val, err, "an action of one number has to be {\"errno\": N} or {\"trace\": N}");
    int64_t number = json_as_int(item.val);
    bool is_errno = strcmp(item.key, "errno") == 0;
    if (!is_errno && strcmp(item.key, "trace") != 0)
        return json_err_unknown(&item, err, "errno, trace");
    if (number < (is_errno ? 1 : 0) || number > (is_errno ? 4095 : 65535))
        return json_err_unexpected(
            item.val, err, is_errno ? "errno has to be 1 to 4095" : "trace has to be 0 to 65535");
    *ret_action = (is_errno ? SECCOMP_RET_ERRNO : SECCOMP_RET_TRACE) | (uint32_t)number;
    return 0;
}

static int read_action(struct json_val val, uint32_t *ret_action, struct err *err)
{
    static const struct {
        const char *name;
        uint32_t action;
    } actions[] = {
        {"allow", SECCOMP_RET_ALLOW},
        {"trap", SECCOMP_RET_TRAP},
        {"log", SECCOMP_RET_LOG},
        {"kill_thread", SECCOMP_RET_KILL_THREAD},
        {"kill_process", SECCOMP_RET_KILL_PROCESS},
    };
    if (json_kind(val) == JSON_KIND_OBJECT)
        return number_action(val, ret_action, err);
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (!is_text(val, actions[i].name))
            continue;
        *ret_action = actions[i].action;
        return 0;
    }
    return json_err_unexpected(
        val, err,
        "an action has to be allow, trap, log, kill_thread, kill_process, {\"errno\": N} "
        "or {\"trace\": N}");
}

/* ------------------------------------------------------------------ rules */

static int read_op(struct json_val val, struct sec_check *check, struct err *err)
{
    static const struct {
        const char *name;
        enum sec_op op;
    } ops[] = {{"eq", SEC_MASKED_EQ}, {"ne", SEC_NE}, {"lt", SEC_LT},
               {"le", SEC_LE},        {"gt", SEC_GT}, {"ge", SEC_GE}};
    struct json_iter iter;
    struct json_item item;
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (!is_text(val, ops[i].name))
            continue;
        check->op = ops[i].op;
        return 0;
    }
    if (json_kind(val) == JSON_KIND_OBJECT && json_count(val) == 1) {
        json_iter_init(&iter, val);
        if (json_iter_next(&iter, &item) && strcmp(item.key, "masked_eq") == 0 &&
            json_kind(item.val) == JSON_KIND_INT && json_as_int(item.val) >= 0) {
            check->op = SEC_MASKED_EQ;
            check->mask &= (uint64_t)json_as_int(item.val);
            return 0;
        }
    }
    return json_err_unexpected(val, err,
                               "op has to be eq, ne, lt, le, gt, ge or {\"masked_eq\": MASK}");
}

/* The parts of one argument's check, as the members come. */
struct check_parts {
    struct json_val index, type, op, val;
    bool has_index, has_type, has_op, has_val;
};

static int collect_check(struct json_val of, struct check_parts *parts, struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    if (json_kind(of) != JSON_KIND_OBJECT)
        return json_err_unexpected(of, err, "an argument's check has to be an object");
    json_iter_init(&iter, of);
    while (json_iter_next(&iter, &item)) {
        const struct {
            const char *name;
            struct json_val *val;
            bool *has;
        } members[] = {{"index", &parts->index, &parts->has_index},
                       {"type", &parts->type, &parts->has_type},
                       {"op", &parts->op, &parts->has_op},
                       {"val", &parts->val, &parts->has_val}};
        bool found = strcmp(item.key, "comment") == 0;
        for (size_t i = 0; i < ARRAY_LEN(members); i++) {
            if (strcmp(item.key, members[i].name) != 0)
                continue;
            *members[i].val = item.val;
            *members[i].has = true;
            found = true;
        }
        if (!found)
            return json_err_unknown(&item, err, "index, type, op, val, comment");
    }
    if (!parts->has_index || !parts->has_type || !parts->has_op || !parts->has_val)
        return json_err_unexpected(of, err, "an argument's check needs index, type, op and val");
    return 0;
}

static int read_check(struct json_val of, struct sec_check *ret_check, struct err *err)
{
    struct check_parts parts = {0};
    int rc = collect_check(of, &parts, err);
    if (rc < 0)
        return rc;
    if (json_kind(parts.index) != JSON_KIND_INT || json_as_int(parts.index) < 0 ||
        json_as_int(parts.index) > 5)
        return json_err_unexpected(parts.index, err, "index has to be 0 to 5");
    if (!is_text(parts.type, "dword") && !is_text(parts.type, "qword"))
        return json_err_unexpected(parts.type, err,
                                   "type has to be dword (32 bits) or qword (64 bits)");
    if (json_kind(parts.val) != JSON_KIND_INT || json_as_int(parts.val) < 0)
        return json_err_unexpected(parts.val, err, "val has to be a number that is not negative");
    struct sec_check check = {
        .arg = (uint8_t)json_as_int(parts.index),
        .mask = is_text(parts.type, "dword") ? UINT32_MAX : UINT64_MAX,
        .value = (uint64_t)json_as_int(parts.val),
    };
    rc = read_op(parts.op, &check, err);
    if (rc < 0)
        return rc;
    if (check.op != SEC_MASKED_EQ && check.mask == UINT32_MAX)
        return json_err_unexpected(parts.type, err,
                                   "only eq and masked_eq compare 32 bits; others want a qword");
    if ((check.value & ~check.mask) != 0)
        return json_err_unexpected(parts.val, err,
                                   "val has bits that the comparison leaves out: of a dword the "
                                   "upper 32, of masked_eq those that are not in MASK");
    *ret_check = check;
    return 0;
}

static int read_checks(struct json_val of, struct sec_check *checks, uint32_t *ret_count,
                       struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    if (json_kind(of) != JSON_KIND_ARRAY || json_count(of) > SEC_CHECKS_MAX)
        return json_err_unexpected(of, err, "args has to be an array of at most 6 checks");
    json_iter_init(&iter, of);
    for (*ret_count = 0; json_iter_next(&iter, &item); (*ret_count)++) {
        int rc = read_check(item.val, &checks[*ret_count], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add_rule(struct sec_compiler *compiler, struct json_val of, uint32_t action,
                    struct err *err)
{
    struct sec_check checks[SEC_CHECKS_MAX];
    uint32_t count = 0;
    const char *name = NULL;
    size_t len = 0;
    struct json_iter iter;
    struct json_item item;
    if (json_kind(of) != JSON_KIND_OBJECT)
        return json_err_unexpected(of, err, "a rule has to be an object");
    json_iter_init(&iter, of);
    while (json_iter_next(&iter, &item)) {
        if (strcmp(item.key, "syscall") == 0 && json_kind(item.val) == JSON_KIND_STRING) {
            name = json_as_text(item.val, &len);
        } else if (strcmp(item.key, "args") == 0) {
            int rc = read_checks(item.val, checks, &count, err);
            if (rc < 0)
                return rc;
        } else if (strcmp(item.key, "comment") != 0) {
            return json_err_unknown(&item, err, "syscall (a name), args, comment");
        }
    }
    if (!name)
        return json_err_unexpected(of, err, "a rule needs syscall");
    struct err why = ERR_INIT;
    int rc = sec_compiler_add(compiler, action, name, checks, count, &why);
    return rc < 0 ? json_err_at(of.doc, of.end_off, err, rc, "%s", why.msg) : 0;
}

/* ------------------------------------------------------------------ filters and the file */

struct filter_parts {
    struct json_val rules;
    bool has_rules, has_default, has_match;
    uint32_t fallback; /* what no rule names */
    uint32_t match;
};

static int collect_filter(struct json_val of, struct filter_parts *parts, struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    int rc = 0;
    if (json_kind(of) != JSON_KIND_OBJECT)
        return json_err_unexpected(of, err, "a filter has to be an object");
    json_iter_init(&iter, of);
    while (rc == 0 && json_iter_next(&iter, &item)) {
        if (strcmp(item.key, "default_action") == 0) {
            parts->has_default = true;
            rc = read_action(item.val, &parts->fallback, err);
        } else if (strcmp(item.key, "filter_action") == 0) {
            parts->has_match = true;
            rc = read_action(item.val, &parts->match, err);
        } else if (strcmp(item.key, "filter") == 0 && json_kind(item.val) == JSON_KIND_ARRAY) {
            parts->has_rules = true;
            parts->rules = item.val;
        } else {
            rc = json_err_unknown(&item, err, "default_action, filter_action, filter (an array)");
        }
    }
    if (rc == 0 && (!parts->has_default || !parts->has_match || !parts->has_rules))
        return json_err_unexpected(of, err,
                                   "a filter needs default_action, filter_action and filter");
    if (rc == 0 && parts->fallback == parts->match)
        return json_err_unexpected(of, err, "default_action and filter_action have to differ");
    return rc;
}

static int compile_filter(struct json_val of, struct sec_compiled *ret_compiled, struct err *err)
{
    struct filter_parts parts = {0};
    struct sec_compiler *compiler = NULL;
    struct json_iter iter;
    struct json_item item;
    int rc = collect_filter(of, &parts, err);
    if (rc == 0)
        rc = sec_compiler_create(parts.fallback, &compiler, err);
    if (rc < 0)
        return rc;
    json_iter_init(&iter, parts.rules);
    while (rc == 0 && json_iter_next(&iter, &item))
        rc = add_rule(compiler, item.val, parts.match, err);
    if (rc == 0)
        rc = sec_compiler_finish(compiler, ret_compiled, err);
    sec_compiler_free(compiler);
    return rc;
}

static bool filter_from_key(const char *key, enum sec_filter *ret_which)
{
    for (int i = 0; i < SEC_FILTERS_COUNT; i++) {
        if (strcmp(key, sec_filter_name((enum sec_filter)i)) != 0)
            continue;
        *ret_which = (enum sec_filter)i;
        return true;
    }
    return false;
}

/* The file as it grows; there is room for the longest. */
struct image {
    char *bytes;
    size_t size;
};

static void append(struct image *image, const void *data, size_t size)
{
    memcpy(image->bytes + image->size, data, size);
    image->size += size;
}

static void append_filter(struct image *image, const char *name, const struct sec_compiled *filter)
{
    struct sec_file_filter head = {.count = le32_put(filter->count)};
    memcpy(head.name, name, strlen(name)); /* shorter than that: sec_filter_name's */
    append(image, &head, sizeof(head));
    append(image, filter->insns, filter->count * sizeof(filter->insns[0]));
}

static int compile_filters(struct json_val root, struct image *image, struct sec_compiled *work,
                           struct err *err)
{
    bool seen[SEC_FILTERS_COUNT] = {false};
    struct json_iter iter;
    struct json_item item;
    uint32_t count = 0;
    if (json_kind(root) != JSON_KIND_OBJECT)
        return json_err_unexpected(
            root, err, "a policy has to be an object with the members vmm, api and vcpu");
    image->size = sizeof(struct sec_file_head);
    json_iter_init(&iter, root);
    for (; json_iter_next(&iter, &item); count++) {
        enum sec_filter which;
        if (!filter_from_key(item.key, &which))
            return json_err_unknown(&item, err, "vmm, api, vcpu, start");
        int rc = compile_filter(item.val, work, err);
        if (rc < 0)
            return err_prefix(err, "%s: ", item.key);
        append_filter(image, item.key, work);
        seen[which] = true;
    }
    if (!seen[SEC_FILTER_VMM] || !seen[SEC_FILTER_API] || !seen[SEC_FILTER_VCPU])
        return err_set(err, -EINVAL, "a policy needs each of vmm, api and vcpu");
    struct sec_file_head head = {
        .version = le32_put(SEC_FILE_VERSION),
        .filters_count = le32_put(count),
        .size = le64_put(image->size),
        .checksum =
            le64_put(sec_file_checksum(image->bytes + sizeof(head), image->size - sizeof(head))),
    };
    memcpy(head.magic, SEC_FILE_MAGIC, sizeof(head.magic));
    memcpy(image->bytes, &head, sizeof(head));
    return 0;
}

int sectool_compile(const char *text, size_t len, char **ret_file, size_t *ret_size,
                    struct err *err)
{
    struct json_doc *doc = NULL;
    struct image image = {.bytes = calloc(1, SEC_FILE_SIZE_MAX)};
    struct sec_compiled *work = calloc(1, sizeof(*work));
    int rc = image.bytes && work ? 0 : err_set(err, -ENOMEM, "no memory for the filters");
    if (rc == 0)
        rc = json_parse(text, len, SECTOOL_POLICY_SIZE_MAX, &doc, err);
    if (rc == 0)
        rc = compile_filters(json_root(doc), &image, work, err);
    json_free(doc);
    free(work);
    if (rc < 0) {
        free(image.bytes);
        return rc;
    }
    *ret_file = image.bytes;
    *ret_size = image.size;
    return 0;
}
