/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iasl judges the ACPI tables: every table of a small and a large guest is disassembled, and the
 * source compiled again, without a warning or error; the DSDT comes out with the same bytes.
 * Skipped (77) where iasl (Debian: acpica-tools) is missing. Single thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/arch/acpi_fixture.h"

#define EXIT_SKIP 77
#define TEXT_SIZE_MAX (256u * 1024)
#define TABLE_SIZE_MAX 16384u
#define PATH_SIZE 128u

/* In a table's header. */
#define CHECKSUM_OFF 9u
#define CREATOR_OFF 28u
#define CREATOR_LEN 8u

extern char **environ;

static size_t read_file(const char *path, void *ret_bytes, size_t size)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t len = fread(ret_bytes, 1, size, file);
    assert_int_equal(fclose(file), 0);
    return len;
}

/* Runs iasl with its log in `dir`. ret_output: what it said. Returns its exit code or -errno. */
static int run_iasl(const char *dir, char *const argv[], char ret_output[TEXT_SIZE_MAX])
{
    char log[PATH_SIZE];
    (void)snprintf(log, sizeof(log), "%s/iasl.log", dir);
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log,
                                                      O_WRONLY | O_CREAT | O_TRUNC, 0600),
                     0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO), 0);
    pid_t pid = -1;
    int rc = posix_spawnp(&pid, "iasl", &actions, NULL, argv, environ);
    assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
    if (rc != 0)
        return -rc;
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ret_output[read_file(log, ret_output, TEXT_SIZE_MAX - 1)] = '\0';
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

/* Words that iasl uses, in its output and in the comments of the source it makes, to complain. */
static void assert_no_complaint(const char *name, const char *what, const char *text)
{
    static const char *const words[] = {"Warning", "WARNING", "Error",   "ERROR",
                                        "Remark",  "Invalid", "Unknown", "Incorrect"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strstr(text, words[i]) != NULL)
            fail_msg("iasl says \"%s\" in its %s of %s:\n%s", words[i], what, name, text);
    }
}

/* Disassembles the table; the source must hold no complaint either. */
static void check_disassembly(const char *dir, const char *name)
{
    static char text[TEXT_SIZE_MAX]; /* test programs have one thread */
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
    char *argv[] = {(char[]){"iasl"}, (char[]){"-d"}, path, NULL};
    int rc = run_iasl(dir, argv, text);
    assert_no_complaint(name, "disassembly", text);
    assert_int_equal(rc, 0);

    (void)snprintf(path, sizeof(path), "%s/%s.dsl", dir, name);
    size_t len = read_file(path, text, sizeof(text) - 1);
    assert_true(len > 0);
    text[len] = '\0';
    assert_no_complaint(name, "source", text);
}

/*
 * Compiles the source again. The id VMGENCTR, which guests look for, is not of the form the
 * specification wants: that error is expected, and its absence would be one.
 */
static void check_compilation(const char *dir, const char *name, bool has_vmgenid)
{
    static char text[TEXT_SIZE_MAX];
    char out[PATH_SIZE];
    char dsl[PATH_SIZE];
    (void)snprintf(out, sizeof(out), "%s/%s-again", dir, name);
    (void)snprintf(dsl, sizeof(dsl), "%s/%s.dsl", dir, name);
    /* -oa: no optimisation, so that the same source makes the same bytes. */
    char *plain[] = {(char[]){"iasl"}, (char[]){"-oa"}, (char[]){"-p"}, out, dsl, NULL};
    char *vmgenid[] = {(char[]){"iasl"},
                       (char[]){"-oa"},
                       (char[]){"-vx"},
                       (char[]){"6035"},
                       (char[]){"-p"},
                       out,
                       dsl,
                       NULL};
    int rc = run_iasl(dir, has_vmgenid ? vmgenid : plain, text);
    if (strstr(text, "Compilation successful. 0 Errors, 0 Warnings, 0 Remarks") == NULL)
        fail_msg("iasl does not compile its own source of %s:\n%s", name, text);
    assert_int_equal(rc, 0);
}

static void check_table(const char *dir, const struct acpi_test *test, const char *name)
{
    static uint8_t table[TABLE_SIZE_MAX];
    static uint8_t again[TABLE_SIZE_MAX];
    uint64_t addr = acpi_test_find(test, name);
    assert_true(addr != 0);
    uint32_t size = acpi_test_u32(test, addr + 4);
    assert_true(size <= sizeof(table));
    acpi_test_read(test, addr, table, size);

    char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(table, 1, size, file), size);
    assert_int_equal(fclose(file), 0);

    check_disassembly(dir, name);
    check_compilation(dir, name, test->config.vmgenid_base != 0 && strcmp(name, "DSDT") == 0);

    (void)snprintf(path, sizeof(path), "%s/%s-again.aml", dir, name);
    assert_int_equal(read_file(path, again, sizeof(again)), size);
    /* The sum and the creator are the compiler's own. */
    again[CHECKSUM_OFF] = table[CHECKSUM_OFF];
    memcpy(again + CREATOR_OFF, table + CREATOR_OFF, CREATOR_LEN);
    assert_memory_equal(again, table, size);
}

static uint32_t count_in(const char *text, const char *word)
{
    uint32_t count = 0;
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
        count++;
    return count;
}

/*
 * iasl shows a resource list it cannot read as a plain buffer, without a word: so count those it
 * can.
 */
static void check_dsdt_source(const char *dir, const struct acpi_test *test)
{
    static char text[TEXT_SIZE_MAX];
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/DSDT.dsl", dir);
    text[read_file(path, text, sizeof(text) - 1)] = '\0';
    uint32_t virtio = test->config.mmio_devices_count;
    uint32_t clone = test->config.vmgenid_base != 0 ? 1 : 0;
    assert_int_equal(count_in(text, "\"LNRO0005\""), virtio);
    assert_int_equal(count_in(text, "Memory32Fixed (ReadWrite,"), virtio);
    assert_int_equal(count_in(text, "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive"),
                     virtio + 2 * clone + 2); /* GED_ has two; COM1, PS2_ */
    assert_int_equal(count_in(text, "IO (Decode16,"), 3);
    assert_int_equal(count_in(text, "Cacheable, ReadOnly,"), clone);
    assert_int_equal(count_in(text, "ResourceTemplate ()"), virtio + 2 * clone + 2);
    assert_int_equal(count_in(text, "Notify (\\_SB.VGEN, 0x80)"), clone);
    assert_int_equal(count_in(text, "Notify (\\_SB.VCLK, 0x80)"), clone);
    assert_int_equal(count_in(text, "EisaId (\"PNP0501\")"), 1);
    assert_int_equal(count_in(text, "EisaId (\"PNP0303\")"), 1);
    assert_int_equal(count_in(text, "Name (\\_S5, Package (0x04)"), 1);
}

/* The directory's files are all ours; the directory goes with them. */
static void remove_dir(const char *dir)
{
    char command[PATH_SIZE];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

static void check_guest(uint32_t vcpus_count, uint32_t devices_count, bool with_clone)
{
    static const char *const signatures[] = {"DSDT", "FACP", "APIC", "MCFG", "XSDT"};
    char dir[] = "/tmp/mayfly-acpi-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct acpi_test test;
    acpi_test_init(&test, vcpus_count, devices_count, with_clone);
    acpi_test_write(&test);
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++)
        check_table(dir, &test, signatures[i]);
    check_dsdt_source(dir, &test);
    acpi_test_done(&test);
    remove_dir(dir);
}

static void test_acpi_write_tables__one_vcpu_no_device__iasl_is_content(void **state)
{
    (void)state;
    check_guest(1, 0, false);
}

static void
test_acpi_write_tables__32_vcpus_17_devices_vmgenid_vmclock__iasl_is_content(void **state)
{
    (void)state;
    check_guest(32, 17, true);
}

int main(void)
{
    static char output[TEXT_SIZE_MAX];
    char *version[] = {(char[]){"iasl"}, (char[]){"-v"}, NULL};
    if (run_iasl("/tmp", version, output) < 0) {
        (void)fprintf(stderr, "skipped: iasl is missing; apt-get install acpica-tools\n");
        return EXIT_SKIP;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acpi_write_tables__one_vcpu_no_device__iasl_is_content),
        cmocka_unit_test(
            test_acpi_write_tables__32_vcpus_17_devices_vmgenid_vmclock__iasl_is_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
