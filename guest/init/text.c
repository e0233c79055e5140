/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings and console lines of mayfly-init, and the four memory functions that the compiler may
 * call on its own. One thread, no state.
 */
#include "guest/init/text.h"

#include "guest/init/sys.h"

void *memcpy(void *dst, const void *src, size_t len);
void *memmove(void *dst, const void *src, size_t len);
void *memset(void *dst, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);

void *memcpy(void *dst, const void *src, size_t len)
{
    void *ret = dst;

    __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(len) : : "memory");
    return ret;
}

void *memmove(void *dst, const void *src, size_t len)
{
    unsigned char *d = dst;
    const unsigned char *s = src;

    if (d <= s || d >= s + len)
        return memcpy(dst, src, len);
    while (len--)
        ((volatile unsigned char *)d)[len] = s[len];
    return dst;
}

void *memset(void *dst, int byte, size_t len)
{
    void *ret = dst;

    __asm__ volatile("rep stosb" : "+D"(dst), "+c"(len) : "a"(byte) : "memory");
    return ret;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const volatile unsigned char *x = a;
    const volatile unsigned char *y = b;

    for (size_t i = 0; i < len; i++) {
        int diff = x[i] - y[i];

        if (diff)
            return diff;
    }
    return 0;
}

size_t text_len(const char *s)
{
    size_t len = 0;

    while (s[len])
        len++;
    return len;
}

bool text_equal(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

bool text_starts(const char *s, const char *prefix)
{
    while (*prefix) {
        if (*s++ != *prefix++)
            return false;
    }
    return true;
}

int text_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_copy(char *dst, size_t size, const char *src, size_t len)
{
    if (len >= size) {
        dst[0] = 0;
        return false;
    }
    memcpy(dst, src, len);
    dst[len] = 0;
    return true;
}

bool text_join(char *dst, size_t size, const char *a, const char *b)
{
    size_t len = text_len(a);

    return text_copy(dst, size, a, len) && text_copy(dst + len, size - len, b, text_len(b));
}

void text_add(struct text_line *line, const char *s)
{
    /* One byte stays free for the newline. */
    while (*s && line->len < TEXT_LINE_MAX - 1)
        line->buf[line->len++] = *s++;
}

void text_add_u64(struct text_line *line, uint64_t value)
{
    char digits[21];
    size_t at = sizeof(digits) - 1;

    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    text_add(line, &digits[at]);
}

void text_send(struct text_line *line)
{
    line->buf[line->len++] = '\n';
    /* Without a console there is nobody to tell; the guest goes on. */
    (void)sys_write(1, line->buf, line->len);
    line->len = 0;
}

static const char *errno_name(long err)
{
    static const struct {
        long value;
        const char *name;
    } names[] = {
        {EPERM, "EPERM"},     {ENOENT, "ENOENT"},   {EIO, "EIO"},       {ENXIO, "ENXIO"},
        {E2BIG, "E2BIG"},     {ENOEXEC, "ENOEXEC"}, {EAGAIN, "EAGAIN"}, {ENOMEM, "ENOMEM"},
        {EACCES, "EACCES"},   {EBUSY, "EBUSY"},     {EEXIST, "EEXIST"}, {ENODEV, "ENODEV"},
        {ENOTDIR, "ENOTDIR"}, {EISDIR, "EISDIR"},   {EINVAL, "EINVAL"}, {ENOSPC, "ENOSPC"},
        {EROFS, "EROFS"},     {ELOOP, "ELOOP"},     {ENOSYS, "ENOSYS"}, {ETIMEDOUT, "ETIMEDOUT"},
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].value == err)
            return names[i].name;
    }
    return NULL;
}

void text_report(const char *what, const char *path, long err, const char *advice)
{
    struct text_line line = {.len = 0};

    text_add(&line, "mayfly-init: ");
    text_add(&line, what);
    text_add(&line, path);
    if (err) {
        const char *name = errno_name(-err);

        text_add(&line, ": ");
        text_add(&line, name ? name : "errno ");
        if (!name)
            text_add_u64(&line, (uint64_t)-err);
    }
    text_add(&line, ". ");
    text_add(&line, advice);
    text_send(&line);
}
