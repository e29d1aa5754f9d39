/* level.c: the level role.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/json/level.h"

enum { LEVEL_NAME_MAX = 13 };

static const struct level_name {
    const char *name;
    uint32_t bytes;
    enum sl_level level;
} level_names[] = {
#define LEVEL_NAME(name, level) {name, sizeof(name) - 1, level}
    LEVEL_NAME("info", SL_LEVEL_INFO), /* the frequent ones first */
    LEVEL_NAME("debug", SL_LEVEL_DEBUG),       LEVEL_NAME("warn", SL_LEVEL_WARN),
    LEVEL_NAME("error", SL_LEVEL_ERROR),       LEVEL_NAME("trace", SL_LEVEL_TRACE),
    LEVEL_NAME("fatal", SL_LEVEL_FATAL),       LEVEL_NAME("warning", SL_LEVEL_WARN),
    LEVEL_NAME("notice", SL_LEVEL_INFO),       LEVEL_NAME("critical", SL_LEVEL_FATAL),
    LEVEL_NAME("err", SL_LEVEL_ERROR),         LEVEL_NAME("crit", SL_LEVEL_FATAL),
    LEVEL_NAME("alert", SL_LEVEL_FATAL),       LEVEL_NAME("emerg", SL_LEVEL_FATAL),
    LEVEL_NAME("panic", SL_LEVEL_FATAL),       LEVEL_NAME("dpanic", SL_LEVEL_FATAL),
    LEVEL_NAME("emergency", SL_LEVEL_FATAL),   LEVEL_NAME("information", SL_LEVEL_INFO),
    LEVEL_NAME("informational", SL_LEVEL_INFO), LEVEL_NAME("verbose", SL_LEVEL_TRACE),
    LEVEL_NAME("severe", SL_LEVEL_ERROR),
#undef LEVEL_NAME
};

static const enum sl_level level_of_syslog[8] = {SL_LEVEL_FATAL, SL_LEVEL_FATAL, SL_LEVEL_FATAL, SL_LEVEL_ERROR,
                                                 SL_LEVEL_WARN,  SL_LEVEL_INFO,  SL_LEVEL_INFO,  SL_LEVEL_DEBUG};
static const enum sl_level level_of_tens[7] = {SL_LEVEL_NONE, SL_LEVEL_TRACE, SL_LEVEL_DEBUG, SL_LEVEL_INFO,
                                               SL_LEVEL_WARN, SL_LEVEL_ERROR, SL_LEVEL_FATAL};

/* One or two digits. */
static enum sl_level level_of_number(struct sl_slice text)
{
    unsigned first = (unsigned char)(text.data[0] - '0'), second;

    if (first > 9 || text.bytes > 2)
        return SL_LEVEL_NONE;
    if (text.bytes == 1)
        return first < 8 ? level_of_syslog[first] : SL_LEVEL_NONE;
    second = (unsigned char)(text.data[1] - '0');
    return second <= 9 && first < 7 ? level_of_tens[first] : SL_LEVEL_NONE;
}

static enum sl_level level_of_name(struct sl_slice text)
{
    char folded[LEVEL_NAME_MAX];

    if (text.bytes > LEVEL_NAME_MAX)
        return SL_LEVEL_NONE;
    for (uint32_t i = 0; i < text.bytes; i++)
        folded[i] = (char)(text.data[i] >= 'A' && text.data[i] <= 'Z' ? text.data[i] | 0x20 : text.data[i]);
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
        if (level_names[i].bytes == text.bytes && level_names[i].name[0] == folded[0] &&
            memcmp(level_names[i].name, folded, text.bytes) == 0)
            return level_names[i].level;
    return SL_LEVEL_NONE;
}

/* What nearly all loggers write, compared as words of four bytes. */
static enum sl_level level_of_usual(struct sl_slice text)
{
    if (text.bytes == 4)
        return memcmp(text.data, "info", 4) == 0 ? SL_LEVEL_INFO : memcmp(text.data, "warn", 4) == 0 ? SL_LEVEL_WARN : SL_LEVEL_NONE;
    if (text.bytes == 5)
        return memcmp(text.data, "debug", 5) == 0 ? SL_LEVEL_DEBUG : memcmp(text.data, "error", 5) == 0 ? SL_LEVEL_ERROR : SL_LEVEL_NONE;
    return SL_LEVEL_NONE;
}

int sl_level_parse(struct sl_slice text, enum sl_type type, enum sl_level *ret_level)
{
    enum sl_level level;

    if (text.bytes == 0 || (type != SL_T_STRING && type != SL_T_NUMBER))
        return -1;
    level = type == SL_T_STRING ? level_of_usual(text) : SL_LEVEL_NONE;
    if (level == SL_LEVEL_NONE)
        level = level_of_number(text);
    if (level == SL_LEVEL_NONE && type == SL_T_STRING)
        level = level_of_name(text);
    if (level == SL_LEVEL_NONE)
        return -1;
    *ret_level = level;
    return 0;
}

const char *sl_level_name(enum sl_level level)
{
    static const char *const names[SL_LEVELS] = {"none", "trace", "debug", "info", "warn", "error", "fatal"};

    return names[level];
}
