/* SPDX-License-Identifier: MIT */
/*
 * Whole part and fraction are read as integers, not as floating point, so that "0.1s" is exactly
 * 100000 µs.
 */
#include "quantity.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct unit {
        const char *name;
        uint64_t scale;
};

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* systemd.time(7), "Parsing Time Spans"; a month is 30.44 days, a year 365.25. */
static const struct unit spans[] = {
        { "", USEC_PER_SEC },
        { "usec", 1 },
        { "us", 1 },
        { "\u00b5s", 1 },
        { "\u03bcs", 1 },
        { "msec", USEC_PER_MSEC },
        { "ms", USEC_PER_MSEC },
        { "seconds", USEC_PER_SEC },
        { "second", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "s", USEC_PER_SEC },
        { "minutes", MINUTE },
        { "minute", MINUTE },
        { "min", MINUTE },
        { "m", MINUTE },
        { "hours", HOUR },
        { "hour", HOUR },
        { "hr", HOUR },
        { "h", HOUR },
        { "days", DAY },
        { "day", DAY },
        { "d", DAY },
        { "weeks", 7 * DAY },
        { "week", 7 * DAY },
        { "w", 7 * DAY },
        { "months", 3044 * (DAY / 100) },
        { "month", 3044 * (DAY / 100) },
        { "M", 3044 * (DAY / 100) },
        { "years", 36525 * (DAY / 100) },
        { "year", 36525 * (DAY / 100) },
        { "y", 36525 * (DAY / 100) },
};

static const struct unit sizes[] = {
        { "", 1 },
        { "K", 1024 },
        { "M", 1024 * 1024 },
        { "G", 1024 * 1024 * 1024 },
};

static const char *skip_spaces(const char *p)
{
        return p + strspn(p, " \t\n\r");
}

static const struct unit *find_unit(const struct unit *units, size_t n, const char *name,
                                    size_t len)
{
        for (size_t i = 0; i < n; i++)
                if (strlen(units[i].name) == len && memcmp(units[i].name, name, len) == 0)
                        return &units[i];
        return NULL;
}

static int add_scaled(uint64_t *sum, uint64_t number, uint64_t scale)
{
        uint64_t product;

        if (__builtin_mul_overflow(number, scale, &product) ||
            __builtin_add_overflow(*sum, product, sum))
                return -ERANGE;
        return 0;
}

/* Decimal places after these are less than a microsecond even of a year, the largest unit. */
#define MAX_DENOMINATOR 100000000000000ULL
__extension__ typedef unsigned __int128 wide;

/*
 * Reads one "NUMBER[.FRACTION] UNIT" at *@text, adds it to @sum and moves *@text past it.
 * @whole_only: refuse a fraction of the smallest unit instead of cutting it off.
 */
static int parse_term(const char **text, const struct unit *units, size_t n, bool whole_only,
                      uint64_t *sum)
{
        const char *whole = *text, *fraction, *name, *end;
        size_t whole_len = strspn(whole, "0123456789"), fraction_len = 0;
        const struct unit *unit;
        uint64_t number = 0, numerator = 0, denominator = 1;
        int r = 0;

        fraction = whole + whole_len;
        if (*fraction == '.') {
                fraction++;
                fraction_len = strspn(fraction, "0123456789");
        }
        if (whole_len + fraction_len == 0 || (*(whole + whole_len) == '.' && fraction_len == 0))
                return -EINVAL;

        name = skip_spaces(fraction + fraction_len);
        for (end = name; isalpha((unsigned char)*end) || (unsigned char)*end >= 0x80; end++)
                ;
        unit = find_unit(units, n, name, (size_t)(end - name));
        if (!unit || (end == fraction + fraction_len && *end)) /* "1.5.5": neither unit nor space */
                return -EINVAL;

        for (size_t i = 0; i < whole_len && r == 0; i++)
                if (__builtin_mul_overflow(number, 10, &number) ||
                    __builtin_add_overflow(number, (uint64_t)(whole[i] - '0'), &number))
                        r = -ERANGE;
        if (r == 0)
                r = add_scaled(sum, number, unit->scale);
        for (size_t i = 0; i < fraction_len && denominator < MAX_DENOMINATOR; i++) {
                numerator = numerator * 10 + (uint64_t)(fraction[i] - '0');
                denominator *= 10;
        }
        if (whole_only && (wide)numerator * unit->scale % denominator != 0)
                return -EINVAL;
        if (r == 0)
                r = add_scaled(sum, (uint64_t)((wide)numerator * unit->scale / denominator), 1);
        *text = skip_spaces(end);
        return r;
}

int quantity_parse_usec(const char *text, uint64_t *usec)
{
        uint64_t sum = 0;
        int r;

        text = skip_spaces(text);
        do {
                r = parse_term(&text, spans, ELEMENTS(spans), false, &sum);
                if (r < 0)
                        return r;
        } while (*text);
        *usec = sum;
        return 0;
}

int quantity_parse_bytes(const char *text, uint64_t *bytes)
{
        uint64_t sum = 0;
        int r;

        text = skip_spaces(text);
        r = parse_term(&text, sizes, ELEMENTS(sizes), true, &sum);
        if (r < 0)
                return r;
        if (*text)
                return -EINVAL;
        *bytes = sum;
        return 0;
}

const char *quantity_format_usec(uint64_t usec, char *out)
{
        static const struct unit units[] = {
                { "d", DAY },          { "h", HOUR },           { "min", MINUTE },
                { "s", USEC_PER_SEC }, { "ms", USEC_PER_MSEC }, { "\u00b5s", 1 },
        };
        size_t length = 0;

        for (size_t i = 0; i < ELEMENTS(units); i++) {
                uint64_t count = usec / units[i].scale;

                if (count == 0 && !(usec == 0 && length == 0 && units[i].scale == USEC_PER_SEC))
                        continue;
                length += (size_t)snprintf(out + length, QUANTITY_TEXT_SIZE - length, "%s%llu %s",
                                           length ? " " : "", (unsigned long long)count,
                                           units[i].name);
                usec %= units[i].scale;
        }
        return out;
}
