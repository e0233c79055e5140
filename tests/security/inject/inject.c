/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could who owns the monitor do? Makes system calls inside every thread of a running process
 * and says what became of them (tests/security/README.md).
 *
 *   inject --list                 the attempts: name, what its success would mean
 *   inject PID [NAME=VALUE...]    one line a thread and attempt: thread, attempt, outcome, and the
 *                                 last of its calls that was made: which step it is, its number
 *
 * NAME `only` chooses one attempt, `prefetch` the thread fc_prefetch, which the process is to make
 * once this has said `ready`. Root; the process goes on unharmed, but for attempts that a filter
 * ends it for: those are made only when they are chosen. Single thread.
 */
#include "tests/security/inject/inject.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS_MAX 64u
#define PATH_ROOM 512u
#define NAME_SIZE 32u

static const struct attempt_list *const lists[] = {
    &attempts_files, &attempts_processes, &attempts_network, &attempts_kernel, &attempts_machine};

int complain(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fputs("inject: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return -1;
}

const char *setting_find(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->count; i++)
        if (strcmp(settings->list[i].name, name) == 0)
            return settings->list[i].value;
    return NULL;
}

void setting_put(struct settings *settings, const char *name, const char *fmt, ...)
{
    size_t i = 0;
    while (i < settings->count && strcmp(settings->list[i].name, name) != 0)
        i++;
    if (i == SETTINGS_MAX) {
        (void)complain("more than %u settings", SETTINGS_MAX);
        exit(2);
    }
    va_list args;
    va_start(args, fmt);
    (void)snprintf(settings->list[i].name, SETTING_NAME_SIZE, "%s", name);
    int len = vsnprintf(settings->list[i].value, SETTING_VALUE_SIZE, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= SETTING_VALUE_SIZE) {
        (void)complain("the setting %s is longer than %u bytes", name, SETTING_VALUE_SIZE - 1);
        exit(2);
    }
    settings->count += i == settings->count ? 1 : 0;
}

/* Paths below the two folders of the run, as the target would say them. */
static void derive_paths(struct settings *settings)
{
    const char *outside = setting_find(settings, "outside");
    const char *inside = setting_find(settings, "inside");
    if (!outside || !inside)
        return;
    setting_put(settings, "outside_file", "%s/who", outside);
    setting_put(settings, "outside_from", "%s/from", outside);
    setting_put(settings, "outside_new", "%s/new", outside);
    setting_put(settings, "outside_dotdot", "%s/../../../../../../../../../../..%s/who", inside,
                outside);
    setting_put(settings, "inside_new", "%s/new", inside);
    setting_put(settings, "inside_out", "%s/out", inside);
    setting_put(settings, "mount_point", "%s/mount", inside);
}

/* A number out of the target's status; fallback when there is none. */
static unsigned long status_number(pid_t pid, const char *name, unsigned long fallback)
{
    char path[64], line[256];
    size_t len = strlen(name);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, len) == 0)
            fallback = strtoul(line + len, NULL, 10);
    if (file)
        (void)fclose(file);
    return fallback;
}

/* A jail's path stands before the name where it is no mount of its own. */
static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Is it the first of a pid namespace of its own? Then 1 is no other process. */
static bool is_init(pid_t pid)
{
    char path[64], line[256];
    bool is = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "NSpid:", 6) == 0)
            is = ends_with(line, "\t1\n");
    if (file)
        (void)fclose(file);
    return is;
}

/* The target's own KVM and ring, by what its descriptors are. */
static void find_descriptors(pid_t pid, struct settings *settings)
{
    static const struct {
        const char *name, *link;
    } wanted[] = {{"kvm_fd", "/dev/kvm"},
                  {"vm_fd", "anon_inode:kvm-vm"},
                  {"ring_fd", "anon_inode:[io_uring]"}};
    char path[PATH_ROOM], link[PATH_ROOM];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
        if (len < 0)
            continue;
        link[len] = '\0';
        for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
            if (ends_with(link, wanted[i].link))
                setting_put(settings, wanted[i].name, "%s", entry->d_name);
    }
    if (dir)
        (void)closedir(dir);
}

/* A process that does nothing, of the target's user: other VMs of the same uid are no better. */
static pid_t start_victim(pid_t pid)
{
    gid_t gid = (gid_t)status_number(pid, "Gid:", 0);
    uid_t uid = (uid_t)status_number(pid, "Uid:", 0);
    pid_t child = fork();
    if (child != 0)
        return child;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        _exit(1);
    (void)prctl(PR_SET_DUMPABLE, 1); /* whom only its user protects */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        (void)pause();
}

/* Unless it is there: nothing changes what it says. */
static void put_file(const char *folder, const char *name, const char *text)
{
    char path[PATH_ROOM];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (access(path, F_OK) == 0)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, text, strlen(text)) < 0 || fchmod(fd, 0666) < 0)
        (void)complain("%s: %s", path, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
}

static void take_away(const char *folder, const char *name)
{
    char path[PATH_ROOM];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (unlink(path) < 0 && errno == EISDIR)
        (void)rmdir(path);
}

/* What earlier attempts have done is undone. */
static void prepare(const struct settings *settings)
{
    const char *outside = setting_find(settings, "outside");
    const char *inside = setting_find(settings, "inside_host");
    if (!outside || !inside)
        return;
    put_file(outside, "who", "o");
    put_file(outside, "from", "x");
    take_away(outside, "new");
    take_away(inside, "new");
}

static void say(const char *thread, const struct attempt *attempt, struct outcome outcome,
                size_t step)
{
    const char *error = strerrorname_np((int)outcome.value);
    const char *words[] = {
        [OUTCOME_VALUE] = "SUCCEEDED", [OUTCOME_ERRNO] = error ? error : "unknown",
        [OUTCOME_SECCOMP] = "seccomp", [OUTCOME_KILLED] = "killed",
        [OUTCOME_STUCK] = "stuck",     [OUTCOME_HELD] = "held",
        [OUTCOME_NONE] = "none",
    };
    long nr = attempt->special ? -1 : attempt->steps[step].nr;
    (void)printf("%s\t%s\t%s\t%zu\t%ld\n", thread, attempt->name, words[outcome.kind], step + 1,
                 nr);
}

static void read_name(pid_t pid, pid_t tid, char ret_name[static NAME_SIZE])
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", pid, tid);
    ret_name[0] = '\0';
    FILE *file = fopen(path, "re");
    if (file && fgets(ret_name, NAME_SIZE, file))
        ret_name[strcspn(ret_name, "\n")] = '\0';
    if (file)
        (void)fclose(file);
}

/* All attempts on a thread that stands still, which then goes on. */
static int attack_tracee(struct tracee *tracee, const char *name, struct settings *settings)
{
    pid_t victim = start_victim(tracee->target->pid);
    if (victim < 0) /* which kill would take for all processes */
        return complain("fork: %s", strerror(errno));
    setting_put(settings, "victim", "%d", victim);
    setting_put(settings, "victim_mem", "/proc/%d/mem", victim);
    const char *only = setting_find(settings, "only");
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        for (size_t i = 0; i < lists[l]->count; i++) {
            const struct attempt *attempt = &lists[l]->attempts[i];
            size_t step = 0;
            if (only ? strcmp(only, attempt->name) != 0 : attempt->is_deadly)
                continue;
            prepare(settings);
            struct outcome outcome = attempt_make(tracee, settings, attempt, &step);
            say(name, attempt, outcome, step);
        }
    }
    int rc = tracee_detach(tracee);
    (void)kill(victim, SIGKILL);
    (void)waitpid(victim, NULL, WNOHANG); /* a thread of the target may have it as its own */
    return rc;
}

static int attack_thread(const struct target *target, pid_t tid, struct settings *settings)
{
    char name[NAME_SIZE];
    struct tracee tracee;
    read_name(target->pid, tid, name);
    if (strncmp(name, "iou-", 4) == 0 || strncmp(name, "kvm-", 4) == 0)
        return 0; /* the kernel's own: they run no program */
    if (tracee_attach(target, tid, &tracee) < 0)
        return -1;
    return attack_tracee(&tracee, name, settings);
}

static int attack_threads(const struct target *target, struct settings *settings)
{
    char path[64];
    pid_t tids[THREADS_MAX];
    size_t count = 0;
    int rc = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task", target->pid);
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && count < THREADS_MAX && (entry = readdir(dir));)
        if (isdigit((unsigned char)entry->d_name[0]))
            tids[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
    if (dir)
        (void)closedir(dir);
    for (size_t i = 0; i < count; i++)
        if (attack_thread(target, tids[i], settings) < 0)
            rc = -1;
    return rc;
}

/* fc_prefetch lives for milliseconds: it is caught as it is made, and held where it begins to work,
 * which is behind its walls. */
static int attack_prefetch(const struct target *target, struct settings *settings)
{
    char name[NAME_SIZE];
    struct tracee tracee;
    if (tracee_await(target) < 0)
        return -1;
    (void)puts("ready");
    (void)fflush(stdout);
    if (tracee_attach_new(target, SYS_lseek, &tracee) < 0)
        return -1;
    read_name(target->pid, tracee.tid, name);
    return attack_tracee(&tracee, name, settings);
}

static int attack(pid_t pid, struct settings *settings)
{
    struct target target;
    int rc = target_open(pid, &target);
    if (rc < 0)
        return rc;
    rc = setting_find(settings, "prefetch") ? attack_prefetch(&target, settings)
                                            : attack_threads(&target, settings);
    target_close(&target);
    return rc;
}

static void on_alarm(int signum)
{
    (void)signum; /* its only work is to interrupt waitpid */
}

static void take_settings(int argc, char **argv, pid_t pid, struct settings *settings)
{
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) {
            (void)complain("%s is not NAME=VALUE", argv[i]);
            exit(2);
        }
        *value++ = '\0';
        setting_put(settings, argv[i], "%s", value);
    }
    unsigned long parent = status_number(pid, "PPid:", 0);
    if (parent > 1)
        setting_put(settings, "parent", "%lu", parent);
    if (!is_init(pid))
        setting_put(settings, "init", "1");
    derive_paths(settings);
    find_descriptors(pid, settings);
}

int main(int argc, char **argv)
{
    static struct settings settings;
    const struct sigaction action = {.sa_handler = on_alarm}; /* without SA_RESTART */
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t l = 0; l < ARRAY_LEN(lists); l++)
            for (size_t i = 0; i < lists[l]->count; i++)
                (void)printf("%s\t%s\n", lists[l]->attempts[i].name, lists[l]->attempts[i].means);
        return 0;
    }
    pid_t pid = argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
    if (pid <= 1) {
        (void)complain("usage: inject --list | inject PID [NAME=VALUE...]");
        return 2;
    }
    (void)sigaction(SIGALRM, &action, NULL);
    (void)umask(0);
    take_settings(argc, argv, pid, &settings);
    return attack(pid, &settings) < 0 ? 1 : 0;
}
