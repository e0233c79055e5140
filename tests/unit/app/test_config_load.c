/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm/app/config_file.c from real files: good, missing, empty, a directory, too large, unreadable,
 * and the examples that users start with.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"
#include "vmm/app/config_file.h"

#define WRAPPER "Configuration for VMM from one single json failed: "
#define SMALLEST "{\"boot-source\":{\"kernel_image_path\":\"k\"},\"drives\":[]}"
#define NOBODY_UID 65534

static int dir_setup(void **state)
{
    char template[] = "/tmp/mayfly-config-XXXXXX";
    if (!mkdtemp(template))
        return -1;
    *state = strdup(template);
    return *state ? 0 : -1;
}

static int dir_teardown(void **state)
{
    char *dir = *state;
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/f", dir);
    (void)unlink(path);
    (void)rmdir(dir);
    free(dir);
    return 0;
}

/* A file that the build put beside this program. */
static void beside_program(char path[static PATH_MAX], const char *name)
{
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
    assert_true(len > 0);
    path[len] = '\0';
    char *end = strrchr(path, '/');
    assert_non_null(end);
    (void)snprintf(end, PATH_MAX - (size_t)(end - path), "/%s", name);
}

/* Loads <dir>/f with `len` bytes of text, or without the file when text is NULL. */
static int load(const char *dir, const char *text, size_t len, struct err *err)
{
    char path[256];
    struct cfg_vm *vm = malloc(sizeof(*vm));

    assert_non_null(vm);
    (void)snprintf(path, sizeof(path), "%s/f", dir);
    if (text) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, len), len);
        assert_int_equal(close(fd), 0);
    }
    int ret = app_config_file_load(path, NULL, vm, err);
    if (ret == 0)
        cfg_vm_done(vm);
    free(vm);
    return ret;
}

static void test_load__good_file__loaded(void **state)
{
    struct err err = ERR_INIT;
    static const char text[] = SMALLEST "\n";
    assert_int_equal(load(*state, text, strlen(text), &err), 0);
}

static void test_load__bad_files__one_sentence_each(void **state)
{
    struct err err = ERR_INIT;
    static const char unreadable[] = "Unable to open or read from the configuration file: ";
    size_t size = APP_CONFIG_FILE_MAX_SIZE + 1;

    assert_int_equal(load(*state, NULL, 0, &err), -ENOENT);
    assert_memory_equal(err.msg, unreadable, strlen(unreadable));
    assert_non_null(strstr(err.msg, "No such file or directory (os error 2)"));
    assert_int_equal(load(*state, "", 0, &err), -EINVAL);
    assert_string_equal(err.msg,
                        WRAPPER "Invalid JSON: EOF while parsing a value at line 1 column 0");
    assert_int_equal(load(*state, "{\0}", 3, &err), -EINVAL);
    struct cfg_vm *vm = malloc(sizeof(*vm));
    assert_non_null(vm);
    assert_int_equal(app_config_file_load(*state, NULL, vm, &err), -EISDIR);
    assert_memory_equal(err.msg, unreadable, strlen(unreadable));
    free(vm);
    char *large = malloc(size);
    assert_non_null(large);
    memset(large, ' ', size);
    assert_int_equal(load(*state, large, size, &err), -EFBIG);
    assert_memory_equal(err.msg, unreadable, strlen(unreadable));
    free(large);
}

/* In a child that is not root, since root reads everything. */
static void test_load__file_without_permission__eacces(void **state)
{
    char path[256];
    int status = -1;
    struct err err = ERR_INIT;
    assert_int_equal(load(*state, SMALLEST, strlen(SMALLEST), &err), 0);
    (void)snprintf(path, sizeof(path), "%s/f", (char *)*state);
    assert_int_equal(chmod(path, 0), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static struct cfg_vm vm;
        if (geteuid() == 0 && setuid(NOBODY_UID) < 0)
            _exit(2);
        _exit(app_config_file_load(path, NULL, &vm, &err) == -EACCES &&
                      strstr(err.msg, "Permission denied (os error 13)")
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_template_read__file__its_text(void **state)
{
    char path[256];
    char *text = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;
    assert_int_equal(load(*state, SMALLEST, strlen(SMALLEST), &err), 0);
    (void)snprintf(path, sizeof(path), "%s/f", (char *)*state);
    assert_int_equal(app_config_template_read(NULL, path, &text, &len, &err), 0);
    assert_int_equal(len, strlen(SMALLEST));
    free(text);
}

static void test_load__examples__decode(void **state)
{
    (void)state;
    static const char *const names[] = {"app/hello.json", "app/stock.json"};
    static const uint64_t mem_size_mib[] = {128, 512};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[PATH_MAX];
        struct err err = ERR_INIT;
        struct cfg_vm *vm = malloc(sizeof(*vm));
        assert_non_null(vm);
        beside_program(path, names[i]);
        if (app_config_file_load(path, NULL, vm, &err) < 0)
            fail_msg("%s: %s", path, err.msg);
        assert_int_equal(vm->machine.vcpu_count, 1);
        assert_int_equal(vm->machine.mem_size_mib, mem_size_mib[i]);
        assert_string_equal(vm->boot_source.boot_args, "console=ttyS0 reboot=k panic=1");
        assert_int_equal(vm->boot_source.initrd_path != NULL, i == 1);
        assert_int_equal(vm->drives_count, 1);
        cfg_vm_done(vm);
        free(vm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_load__good_file__loaded, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_load__bad_files__one_sentence_each, dir_setup,
                                        dir_teardown),
        cmocka_unit_test_setup_teardown(test_load__file_without_permission__eacces, dir_setup,
                                        dir_teardown),
        cmocka_unit_test_setup_teardown(test_template_read__file__its_text, dir_setup,
                                        dir_teardown),
        cmocka_unit_test(test_load__examples__decode),
    };
    return cmocka_run_group_tests_name("config_load", tests, NULL, NULL);
}
