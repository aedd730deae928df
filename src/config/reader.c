/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <stdarg.h>
#include <string.h>

/* More would not be read, and a crafted file could fill the journal. */
#define MISTAKES_MAX 1000

void reader_tell(struct reader *r, const char *file, unsigned line, const char *text)
{
        char last[64];

        if (++r->n_mistakes > MISTAKES_MAX + 1)
                return;
        (void)snprintf(last, sizeof(last), "more than %d mistakes, no more are reported",
                       MISTAKES_MAX);
        r->mistake(r->arg, file, line, r->n_mistakes > MISTAKES_MAX ? last : text);
}

_printf_(4, 0) static void vreport(struct reader *r, const char *file, unsigned line,
                                   const char *format, va_list args)
{
        char text[SETTING_PATH_SIZE + ESCAPE_SIZE(SHOWN_BYTES) + 256];

        (void)vsnprintf(text, sizeof(text), format, args);
        reader_tell(r, file, line, text);
}

void reader_report_at(struct reader *r, const char *file, unsigned line, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vreport(r, file, line, format, args);
        va_end(args);
}

void reader_report(struct reader *r, const config_setting_t *setting, const char *format, ...)
{
        const char *file;
        unsigned line;
        va_list args;

        source_locate(r->source, config_setting_source_line(setting), &file, &line);
        va_start(args, format);
        vreport(r, file, line, format, args);
        va_end(args);
}

const char *setting_path(const config_setting_t *setting, char *out)
{
        const config_setting_t *parent = config_setting_parent(setting);
        const char *name = config_setting_name(setting);
        size_t n;

        out[0] = '\0';
        if (!parent)
                return out;
        setting_path(parent, out);
        n = strlen(out);
        if (name)
                (void)snprintf(out + n, SETTING_PATH_SIZE - n, "%s%.*s", n ? "." : "", SHOWN_BYTES,
                               name);
        else if (config_setting_is_group(setting))
                (void)snprintf(out + n, SETTING_PATH_SIZE - n, "[%d]",
                               config_setting_index(setting));
        return out;
}

const char *setting_value(config_setting_t *setting, char *out)
{
        const size_t size = SETTING_VALUE_SIZE;
        char text[ESCAPE_SIZE(SHOWN_BYTES)];
        const char *string;
        size_t n;

        switch (config_setting_type(setting)) {
        case CONFIG_TYPE_INT:
        case CONFIG_TYPE_INT64:
                (void)snprintf(out, size, "%lld", config_setting_get_int64(setting));
                break;
        case CONFIG_TYPE_FLOAT:
                (void)snprintf(out, size, "%.15g", config_setting_get_float(setting));
                if (!strpbrk(out, ".en")) /* without a point it would look like an integer */
                        (void)snprintf(out + strlen(out), size - strlen(out), ".0");
                break;
        case CONFIG_TYPE_BOOL:
                (void)snprintf(out, size, "%s",
                               config_setting_get_bool(setting) ? "true" : "false");
                break;
        case CONFIG_TYPE_STRING:
                string = config_setting_get_string(setting);
                n = strlen(string);
                escape_bytes(text, string, n < SHOWN_BYTES ? n : SHOWN_BYTES);
                (void)snprintf(out, size, "\"%s\"%s", text, n > SHOWN_BYTES ? "…" : "");
                break;
        case CONFIG_TYPE_GROUP:
                (void)snprintf(out, size, "a group { … }");
                break;
        default:
                (void)snprintf(out, size, "a list of %d", config_setting_length(setting));
        }
        return out;
}

void reader_report_value(struct reader *r, config_setting_t *setting, const char *legal)
{
        char path[SETTING_PATH_SIZE], value[SETTING_VALUE_SIZE];

        reader_report(r, setting, "%s: %s is not legal, expected %s", setting_path(setting, path),
                      setting_value(setting, value), legal);
}
