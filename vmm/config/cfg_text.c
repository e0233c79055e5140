/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers for the small texts inside requests (api.md 6, devices.md 9.1). Pure; any thread.
 */
#include "vmm/config/cfg_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Outside text in a sentence: at most this many bytes of it, with the NUL. */
#define SHOWN_MAX_SIZE 96u
#define SHOWN(text) log_quote((text), strlen(text), (char[SHOWN_MAX_SIZE]){0}, SHOWN_MAX_SIZE)

int cfg_printable_check(const char *text, struct err *err)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~')
            return err_set(err, -EINVAL, "String contains a non-printable ASCII character.");
    return 0;
}

/* Value of a digit in a base up to 16, or -1. */
static int digit_value(char c, unsigned base)
{
    int value = -1;

    if (c >= '0' && c <= '9')
        value = c - '0';
    else if (c >= 'a' && c <= 'f')
        value = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F')
        value = c - 'A' + 10;
    return value >= 0 && (unsigned)value < base ? value : -1;
}

/* Whole text as an unsigned 32-bit number. Returns NULL, or what is wrong with it. */
static const char *digits_parse(const char *text, unsigned base, uint32_t *ret_number)
{
    uint64_t number = 0;

    if (*text == '\0')
        return "cannot parse integer from empty string";
    for (; *text != '\0'; text++) {
        int value = digit_value(*text, base);
        if (value < 0)
            return "invalid digit found in string";
        number = number * base + (unsigned)value;
        if (number > UINT32_MAX)
            return "number too large to fit in target type";
    }
    *ret_number = (uint32_t)number;
    return NULL;
}

int cfg_mac_parse(const char *text, uint8_t ret_mac[static 6], struct err *err)
{
    uint8_t mac[6];
    bool good = strlen(text) == CFG_MAC_TEXT_SIZE - 1;

    for (size_t i = 0; good && i < sizeof(mac); i++) {
        int high = digit_value(text[3 * i], 16);
        int low = digit_value(text[3 * i + 1], 16);
        char separator = text[3 * i + 2];
        good = high >= 0 && low >= 0 && separator == (i + 1 < sizeof(mac) ? ':' : '\0');
        if (good)
            mac[i] = (uint8_t)(high << 4 | low);
    }
    if (!good)
        return err_set(err, -EINVAL, "The provided MAC address is invalid.");
    memcpy(ret_mac, mac, sizeof(mac));
    return 0;
}

const char *cfg_mac_text(const uint8_t mac[static 6], char buf[static CFG_MAC_TEXT_SIZE])
{
    (void)snprintf(buf, CFG_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                   mac[3], mac[4], mac[5]);
    return buf;
}

int cfg_ipv4_parse(const char *text, uint8_t ret_addr[static 4], struct err *err)
{
    uint8_t addr[4];
    bool good = true;

    for (size_t i = 0; good && i < sizeof(addr); i++) {
        uint32_t part = 0;
        size_t digits = strspn(text, "0123456789");
        for (size_t k = 0; k < digits && k < 3; k++)
            part = part * 10 + (uint32_t)(text[k] - '0');
        good = digits >= 1 && digits <= 3 && part <= UINT8_MAX && (digits == 1 || text[0] != '0') &&
               text[digits] == (i + 1 < sizeof(addr) ? '.' : '\0');
        addr[i] = (uint8_t)part;
        text += good ? digits + 1 : 0;
    }
    if (!good)
        return err_set(err, -EINVAL, "invalid IPv4 address syntax");
    memcpy(ret_addr, addr, sizeof(addr));
    return 0;
}

int cfg_log_level_parse(const char *text, enum log_level *ret_level, struct err *err)
{
    if (log_level_from_name(text, ret_level) < 0)
        return err_set(err, -EINVAL, "Invalid LevelFilter");
    return 0;
}

int cfg_number32_parse(const char *text, uint32_t *ret_number, struct err *err)
{
    unsigned base = 0;

    if (strncmp(text, "0x", 2) == 0)
        base = 16;
    else if (strncmp(text, "0b", 2) == 0)
        base = 2;
    if (base == 0)
        return err_set(
            err, -EINVAL,
            "No supported number system prefix found in value [%s]. Make sure to prefix the "
            "number with '0x' for hexadecimal numbers or '0b' for binary numbers.",
            SHOWN(text));
    const char *wrong = digits_parse(text + 2, base, ret_number);
    if (wrong)
        return err_set(err, -EINVAL, "Failed to parse string [%s] as a 32-bit number: %s",
                       SHOWN(text), wrong);
    return 0;
}

int cfg_register_parse(const char *text, uint32_t *ret_register, struct err *err)
{
    static const char *const names[] = {"eax", "ebx", "ecx", "edx"};

    for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_register = i;
            return 0;
        }
    }
    return err_set(err, -EINVAL, "Invalid CPUID register. Must be one of [eax, ebx, ecx, edx]");
}

int cfg_bitmap_parse(const char *text, uint32_t bits, struct cfg_bitmap64 *ret_bitmap,
                     struct err *err)
{
    struct cfg_bitmap64 bitmap = {0};
    uint32_t count = 0;
    const char *digits = strncmp(text, "0b", 2) == 0 ? text + 2 : text;

    for (const char *p = digits; *p != '\0'; p++) {
        if (*p == '_')
            continue;
        if (*p != '0' && *p != '1' && *p != 'x')
            return err_set(err, -EINVAL,
                           "Failed to parse string [%s] as a bitmap - unknown character: %u",
                           SHOWN(text), (unsigned char)*p);
        if (++count > bits)
            return err_set(err, -EINVAL,
                           "Failed to parse string [%s] as a bitmap - string is too long",
                           SHOWN(text));
        bitmap.mask = bitmap.mask << 1 | (*p != 'x');
        bitmap.value = bitmap.value << 1 | (*p == '1');
    }
    *ret_bitmap = bitmap;
    return 0;
}

int cfg_capability_parse(const char *text, struct cfg_capability *ret_capability, struct err *err)
{
    struct cfg_capability capability = {.removal = text[0] == '!'};
    const char *wrong = digits_parse(capability.removal ? text + 1 : text, 10, &capability.number);

    if (wrong)
        return err_set(
            err, -EINVAL,
            "Failed to parse string [%s] as a kvm capability - can not convert to numeric: %s",
            SHOWN(text), wrong);
    *ret_capability = capability;
    return 0;
}
