/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state file in words: what is in it, shown so that no terminal obeys it. Single thread.
 */
#include <stdio.h>
#include <unistd.h>

#include "snapshots/snap.h"
#include "snapshots/snap_config.h"
#include "tests/unit/snapshots/snapf_fixture.h"

static struct {
    char path[32];
    struct snapf_content content;
} fix;

static char *dup_text(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

/* The configuration's bytes: one drive. */
static void put_config(const char *path_on_host)
{
    struct cfg_vm config;
    struct cfg_drive drive = {.drive_id = dup_text("data"), .path_on_host = dup_text(path_on_host)};
    struct err err = ERR_INIT;
    cfg_vm_init(&config);
    config.boot_source.kernel_image_path = dup_text("vmlinux");
    assert_int_equal(cfg_drives_put(&config, &drive, &err), 0);
    free(fix.content.config);
    assert_int_equal(
        snap_config_encode(&config, &fix.content.config, &fix.content.config_len, &err), 0);
    cfg_vm_done(&config);
}

static int setup(void **state)
{
    (void)state;
    content_fill(HV_IRQCHIP_SPLIT, &fix.content);
    put_config("disk.img");
    (void)strcpy(fix.path, "/tmp/mayfly-state.XXXXXX");
    int fd = mkstemp(fix.path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    snapf_content_done(&fix.content);
    return unlink(fix.path);
}

/* The content's file in words; the caller frees. */
static char *describe(void)
{
    struct bytes file = {0};
    struct err err = ERR_INIT;
    char *text = NULL;
    assert_int_equal(snapf_encode(&fix.content, &file.data, &file.len, &err), 0);
    FILE *out = fopen(fix.path, "we");
    assert_non_null(out);
    assert_int_equal(fwrite(file.data, 1, file.len, out), file.len);
    assert_int_equal(fclose(out), 0);
    free(file.data);
    int rc = snap_describe(fix.path, &text, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    return text;
}

static void expect_part(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' has no '%s'", text, part);
}

static void test_snap_describe__state_file__says_what_it_is(void **state)
{
    (void)state;
    char *text = describe();
    expect_part(text, "taken by: mayfly 0.1.0\nhost kernel: 6.1.0\n");
    expect_part(text, "vCPUs: 2\n");
    expect_part(text, "irqchip: split\nsampled pages: 3\n");
    expect_part(text, "drive data: disk.img\n");
    expect_part(text, "a load would be refused: ");
    free(text);
}

static void test_snap_describe__ids__in_hex(void **state)
{
    (void)state;
    memset(fix.content.id, 0xa5, sizeof(fix.content.id));
    memset(fix.content.predecessor, 0, sizeof(fix.content.predecessor));
    char *text = describe();
    expect_part(text, "\nid: a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\n"
                      "id of the one before: 00000000000000000000000000000000 (none)\n");
    free(text);
}

static void test_snap_describe__texts_with_controls__shown_as_codes(void **state)
{
    (void)state;
    free(fix.content.info.cpu);
    fix.content.info.cpu = dup_text("x\nforged: \033[2J");
    put_config("a\033b");
    char *text = describe();
    expect_part(text, "host CPU: x\\x0aforged: \\x1b[2J\n");
    expect_part(text, "drive data: a\\x1bb\n");
    assert_null(strchr(text, '\033'));
    free(text);
}

static void test_snap_version__state_file__its_numbers(void **state)
{
    (void)state;
    uint32_t version[3] = {9, 9, 9};
    struct err err = ERR_INIT;
    free(describe());
    assert_int_equal(snap_version(fix.path, version, &err), 0);
    assert_int_equal(version[0], SNAPF_MAJOR);
    assert_int_equal(version[1], SNAPF_MINOR);
    assert_int_equal(version[2], SNAPF_PATCH);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snap_describe__state_file__says_what_it_is),
        TEST(test_snap_describe__ids__in_hex),
        TEST(test_snap_describe__texts_with_controls__shown_as_codes),
        TEST(test_snap_version__state_file__its_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
