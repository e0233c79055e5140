/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a negative errno and a sentence, and the texts of errnos that clients match (api.md 3.1).
 * Any thread; no state.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What musl says for a number without a text of its own. */
#define ERR_TEXT_NONE "No error information"

/*
 * Every errno of Linux with musl's text, in the kernel's order. One string and one byte array,
 * because an array of pointers would need relocating, and so touching, at every start of a
 * static-pie program.
 */
#define ERR_TABLE(X)                                                                               \
    X(EPERM, "Operation not permitted")                                                            \
    X(ENOENT, "No such file or directory")                                                         \
    X(ESRCH, "No such process")                                                                    \
    X(EINTR, "Interrupted system call")                                                            \
    X(EIO, "I/O error")                                                                            \
    X(ENXIO, "No such device or address")                                                          \
    X(E2BIG, "Argument list too long")                                                             \
    X(ENOEXEC, "Exec format error")                                                                \
    X(EBADF, "Bad file descriptor")                                                                \
    X(ECHILD, "No child process")                                                                  \
    X(EAGAIN, "Resource temporarily unavailable")                                                  \
    X(ENOMEM, "Out of memory")                                                                     \
    X(EACCES, "Permission denied")                                                                 \
    X(EFAULT, "Bad address")                                                                       \
    X(ENOTBLK, "Block device required")                                                            \
    X(EBUSY, "Resource busy")                                                                      \
    X(EEXIST, "File exists")                                                                       \
    X(EXDEV, "Cross-device link")                                                                  \
    X(ENODEV, "No such device")                                                                    \
    X(ENOTDIR, "Not a directory")                                                                  \
    X(EISDIR, "Is a directory")                                                                    \
    X(EINVAL, "Invalid argument")                                                                  \
    X(ENFILE, "Too many open files in system")                                                     \
    X(EMFILE, "No file descriptors available")                                                     \
    X(ENOTTY, "Not a tty")                                                                         \
    X(ETXTBSY, "Text file busy")                                                                   \
    X(EFBIG, "File too large")                                                                     \
    X(ENOSPC, "No space left on device")                                                           \
    X(ESPIPE, "Invalid seek")                                                                      \
    X(EROFS, "Read-only file system")                                                              \
    X(EMLINK, "Too many links")                                                                    \
    X(EPIPE, "Broken pipe")                                                                        \
    X(EDOM, "Domain error")                                                                        \
    X(ERANGE, "Result not representable")                                                          \
    X(EDEADLK, "Resource deadlock would occur")                                                    \
    X(ENAMETOOLONG, "Filename too long")                                                           \
    X(ENOLCK, "No locks available")                                                                \
    X(ENOSYS, "Function not implemented")                                                          \
    X(ENOTEMPTY, "Directory not empty")                                                            \
    X(ELOOP, "Symbolic link loop")                                                                 \
    X(ENOMSG, "No message of desired type")                                                        \
    X(EIDRM, "Identifier removed")                                                                 \
    X(ECHRNG, ERR_TEXT_NONE)                                                                       \
    X(EL2NSYNC, ERR_TEXT_NONE)                                                                     \
    X(EL3HLT, ERR_TEXT_NONE)                                                                       \
    X(EL3RST, ERR_TEXT_NONE)                                                                       \
    X(ELNRNG, ERR_TEXT_NONE)                                                                       \
    X(EUNATCH, ERR_TEXT_NONE)                                                                      \
    X(ENOCSI, ERR_TEXT_NONE)                                                                       \
    X(EL2HLT, ERR_TEXT_NONE)                                                                       \
    X(EBADE, ERR_TEXT_NONE)                                                                        \
    X(EBADR, ERR_TEXT_NONE)                                                                        \
    X(EXFULL, ERR_TEXT_NONE)                                                                       \
    X(ENOANO, ERR_TEXT_NONE)                                                                       \
    X(EBADRQC, ERR_TEXT_NONE)                                                                      \
    X(EBADSLT, ERR_TEXT_NONE)                                                                      \
    X(EBFONT, ERR_TEXT_NONE)                                                                       \
    X(ENOSTR, "Device not a stream")                                                               \
    X(ENODATA, "No data available")                                                                \
    X(ETIME, "Device timeout")                                                                     \
    X(ENOSR, "Out of streams resources")                                                           \
    X(ENONET, ERR_TEXT_NONE)                                                                       \
    X(ENOPKG, ERR_TEXT_NONE)                                                                       \
    X(EREMOTE, ERR_TEXT_NONE)                                                                      \
    X(ENOLINK, "Link has been severed")                                                            \
    X(EADV, ERR_TEXT_NONE)                                                                         \
    X(ESRMNT, ERR_TEXT_NONE)                                                                       \
    X(ECOMM, ERR_TEXT_NONE)                                                                        \
    X(EPROTO, "Protocol error")                                                                    \
    X(EMULTIHOP, "Multihop attempted")                                                             \
    X(EDOTDOT, ERR_TEXT_NONE)                                                                      \
    X(EBADMSG, "Bad message")                                                                      \
    X(EOVERFLOW, "Value too large for data type")                                                  \
    X(ENOTUNIQ, ERR_TEXT_NONE)                                                                     \
    X(EBADFD, "File descriptor in bad state")                                                      \
    X(EREMCHG, ERR_TEXT_NONE)                                                                      \
    X(ELIBACC, ERR_TEXT_NONE)                                                                      \
    X(ELIBBAD, ERR_TEXT_NONE)                                                                      \
    X(ELIBSCN, ERR_TEXT_NONE)                                                                      \
    X(ELIBMAX, ERR_TEXT_NONE)                                                                      \
    X(ELIBEXEC, ERR_TEXT_NONE)                                                                     \
    X(EILSEQ, "Illegal byte sequence")                                                             \
    X(ERESTART, ERR_TEXT_NONE)                                                                     \
    X(ESTRPIPE, ERR_TEXT_NONE)                                                                     \
    X(EUSERS, ERR_TEXT_NONE)                                                                       \
    X(ENOTSOCK, "Not a socket")                                                                    \
    X(EDESTADDRREQ, "Destination address required")                                                \
    X(EMSGSIZE, "Message too large")                                                               \
    X(EPROTOTYPE, "Protocol wrong type for socket")                                                \
    X(ENOPROTOOPT, "Protocol not available")                                                       \
    X(EPROTONOSUPPORT, "Protocol not supported")                                                   \
    X(ESOCKTNOSUPPORT, "Socket type not supported")                                                \
    X(EOPNOTSUPP, "Not supported")                                                                 \
    X(EPFNOSUPPORT, "Protocol family not supported")                                               \
    X(EAFNOSUPPORT, "Address family not supported by protocol")                                    \
    X(EADDRINUSE, "Address in use")                                                                \
    X(EADDRNOTAVAIL, "Address not available")                                                      \
    X(ENETDOWN, "Network is down")                                                                 \
    X(ENETUNREACH, "Network unreachable")                                                          \
    X(ENETRESET, "Connection reset by network")                                                    \
    X(ECONNABORTED, "Connection aborted")                                                          \
    X(ECONNRESET, "Connection reset by peer")                                                      \
    X(ENOBUFS, "No buffer space available")                                                        \
    X(EISCONN, "Socket is connected")                                                              \
    X(ENOTCONN, "Socket not connected")                                                            \
    X(ESHUTDOWN, "Cannot send after socket shutdown")                                              \
    X(ETOOMANYREFS, ERR_TEXT_NONE)                                                                 \
    X(ETIMEDOUT, "Operation timed out")                                                            \
    X(ECONNREFUSED, "Connection refused")                                                          \
    X(EHOSTDOWN, "Host is down")                                                                   \
    X(EHOSTUNREACH, "Host is unreachable")                                                         \
    X(EALREADY, "Operation already in progress")                                                   \
    X(EINPROGRESS, "Operation in progress")                                                        \
    X(ESTALE, "Stale file handle")                                                                 \
    X(EUCLEAN, "Data consistency error")                                                           \
    X(ENOTNAM, ERR_TEXT_NONE)                                                                      \
    X(ENAVAIL, "Resource not available")                                                           \
    X(EISNAM, ERR_TEXT_NONE)                                                                       \
    X(EREMOTEIO, "Remote I/O error")                                                               \
    X(EDQUOT, "Quota exceeded")                                                                    \
    X(ENOMEDIUM, "No medium found")                                                                \
    X(EMEDIUMTYPE, "Wrong medium type")                                                            \
    X(ECANCELED, "Operation canceled")                                                             \
    X(ENOKEY, "Required key not available")                                                        \
    X(EKEYEXPIRED, "Key has expired")                                                              \
    X(EKEYREVOKED, "Key has been revoked")                                                         \
    X(EKEYREJECTED, "Key was rejected by service")                                                 \
    X(EOWNERDEAD, "Previous owner died")                                                           \
    X(ENOTRECOVERABLE, "State not recoverable")                                                    \
    X(ERFKILL, ERR_TEXT_NONE)                                                                      \
    X(EHWPOISON, ERR_TEXT_NONE)

#define ERR_NUMBER_(name, text) name,
#define ERR_STRINGS_(name, text) #name "\0" text "\0"

static const uint8_t err_numbers[] = {ERR_TABLE(ERR_NUMBER_)};
/* Name and text of err_numbers[i] are the strings 2 * i and 2 * i + 1. */
static const char err_strings[] = ERR_TABLE(ERR_STRINGS_);

/* The name of the errno, with *ret_text its text; NULL when it is none of Linux's. */
static const char *find_errno(int errnum, const char **ret_text)
{
    unsigned wanted = errnum < 0 ? 0u - (unsigned)errnum : (unsigned)errnum;
    const char *name = err_strings;

    for (size_t i = 0; i < ARRAY_LEN(err_numbers); i++) {
        const char *text = name + strlen(name) + 1;
        if (err_numbers[i] == wanted) {
            *ret_text = text;
            return name;
        }
        name = text + strlen(text) + 1;
    }
    return NULL;
}

/* Ends a text that snprintf wanted `wanted` bytes for with "..." when it was cut. */
static void mark_cut(char *buf, size_t size, int wanted)
{
    if (wanted >= 0 && (size_t)wanted < size)
        return;
    if (size > 3)
        memcpy(buf + size - 4, "...", 4);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;

    /* The old sentence may be among the arguments. */
    char msg[ERR_MSG_MAX_SIZE];
    va_list args;
    va_start(args, fmt);
    mark_cut(msg, sizeof(msg), vsnprintf(msg, sizeof(msg), fmt, args));
    va_end(args);
    memcpy(err->msg, msg, sizeof(msg));
    err->code = code;
    return code;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
    if (!err)
        return -EIO;

    char msg[ERR_MSG_MAX_SIZE];
    va_list args;
    va_start(args, fmt);
    int wanted = vsnprintf(msg, sizeof(msg), fmt, args);
    va_end(args);
    mark_cut(msg, sizeof(msg), wanted);
    if (wanted >= 0 && (size_t)wanted < sizeof(msg)) {
        size_t used = (size_t)wanted;
        mark_cut(msg, sizeof(msg),
                 wanted + snprintf(msg + used, sizeof(msg) - used, "%s", err->msg));
    }
    memcpy(err->msg, msg, sizeof(msg));
    return err->code;
}

const char *err_os_text(int errnum, char *buf, size_t size)
{
    const char *text = ERR_TEXT_NONE;

    (void)find_errno(errnum, &text);
    if (size > 0)
        mark_cut(buf, size,
                 snprintf(buf, size, "%s (os error %u)", text,
                          errnum < 0 ? 0u - (unsigned)errnum : (unsigned)errnum));
    return buf;
}

const char *err_name(int errnum)
{
    const char *text;
    const char *name = find_errno(errnum, &text);

    return name ? name : "errno";
}
