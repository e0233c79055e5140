/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program in which one system call fails: seccomp answers for the kernel.
 * usage: fail_call NUMBER ERRNO PROGRAM [ARGUMENT...]
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 4) {
        (void)fprintf(stderr, "usage: fail_call NUMBER ERRNO PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    const unsigned number = (unsigned)strtoul(argv[1], NULL, 10);
    const unsigned error = (unsigned)strtoul(argv[2], NULL, 10);
    struct sock_filter insns[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const struct sock_fprog program = {sizeof(insns) / sizeof(insns[0]), insns};
    /* Not as root: it would be inherited. */
    if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return 2;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
        perror("fail_call: seccomp");
        return 2;
    }
    (void)execv(argv[3], argv + 3);
    perror("fail_call: exec");
    return 2;
}
