/* SPDX-License-Identifier: MIT */
/*
 * A file is copied token by token, so that nothing in a comment, a string or a name is mistaken for
 * an include or an integer.
 */
#include "source.h"
#include "escape.h"
#include "file.h"
#include "token.h"

#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define QUOTE(x)      #x
#define DIGITS(macro) QUOTE(macro)

/* From line @text_line of the text up to the next mark, lines are those of @file from @line on. */
struct mark {
        unsigned text_line;
        unsigned line;
        const char *file;
};

struct source {
        char *text;
        size_t size;
        FILE *out;          /* writes @text */
        unsigned text_line; /* the line that is being written, from 1 */
        unsigned last_line; /* the last line with anything but space and comments */
        unsigned n_names;
        struct mark *marks;
        size_t n_marks;
        struct source_file *files;
        size_t n_files;
        char *directory; /* of the first file */
        source_mistake_fn *mistake;
        void *arg;
};

/* The position in a file that is being copied. */
struct cursor {
        struct source *source;
        const struct cursor *from; /* the position of the include; NULL: this is the main file */
        const char *file;
        struct stat st;
        char *p; /* NUL-terminated */
        unsigned line;
        unsigned depth;
};

static int append_file(struct source *s, const char *path, const struct cursor *from);

_printf_(4, 5) static void mistake(struct source *s, const char *file, unsigned line,
                                   const char *format, ...)
{
        char text[PATH_MAX + 256];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        s->mistake(s->arg, file, line, text);
}

static int add_mark(struct source *s, const char *file, unsigned line)
{
        struct mark *marks = reallocarray(s->marks, s->n_marks + 1, sizeof(*marks));

        if (!marks)
                return -ENOMEM;
        s->marks = marks;
        marks[s->n_marks++] = (struct mark){ s->text_line, line, file };
        return 0;
}

static void new_line(struct source *s)
{
        (void)fputc('\n', s->out);
        s->text_line++;
}

/* Copies up to @end. */
static void copy(struct cursor *c, const char *end)
{
        size_t n = (size_t)(end - c->p);

        for (size_t i = 0; i < n; i++) {
                if (c->p[i] == '\n') {
                        c->line++;
                        c->source->text_line++;
                }
        }
        (void)fwrite(c->p, 1, n, c->source->out);
        c->p += n;
}

/* libconfig would look for the end on the next lines, or in the including file. */
static int refuse_open_token(struct cursor *c)
{
        mistake(c->source, c->file, c->line,
                *c->p == '"' ? "a string that does not end on its line"
                             : "a comment that does not end in this file");
        return -EINVAL;
}

/*
 * libconfig gives a string in a list the line of the comma or bracket after it. A delimiter on a
 * later line is moved to the end of the string, and a space takes its place.
 */
static void pull_delimiter(struct cursor *c)
{
        char *delimiter = token_find_delimiter(c->p);

        if (!delimiter)
                return;
        (void)fputc(*delimiter, c->source->out);
        *delimiter = ' ';
}

static int count_name(struct cursor *c)
{
        if (++c->source->n_names <= SOURCE_NAMES_MAX)
                return 0;
        mistake(c->source, c->file, c->line, "more than %d settings", SOURCE_NAMES_MAX);
        return -EINVAL;
}

/* Copies a comment, a string, a name, a number or one character. */
static int copy_token(struct cursor *c)
{
        bool is_string = *c->p == '"', is_blank = token_is_blank(c->p);
        bool is_name = isalpha((unsigned char)*c->p) || *c->p == '*';
        const char *end, *suffix = "";

        if (is_name && count_name(c) < 0)
                return -EINVAL;
        if (is_name)
                end = token_name_end(c->p);
        else if (strchr("+-.0123456789", *c->p))
                end = token_number_end(c->p, &suffix);
        else
                end = token_end(c->p);
        if (!end)
                return refuse_open_token(c);
        copy(c, end);
        (void)fputs(suffix, c->source->out);
        if (is_string)
                pull_delimiter(c);
        if (!is_blank)
                c->source->last_line = c->source->text_line;
        return 0;
}

/* Inserts a file at the cursor, on lines of its own. @name: the string that names the file. */
static int include(struct cursor *c, char *name)
{
        struct source *s = c->source;
        _cleanup_(freep) char *file = NULL, *path = NULL;
        int r;

        c->p = name;
        if (!token_end(name))
                return refuse_open_token(c);
        file = token_unquote(name);
        if (!file)
                return -ENOMEM;
        if (file[0] != '/' && asprintf(&path, "%s/%s", s->directory, file) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        c->p = token_end(name);
        r = append_file(s, path ? path : file, c);
        return r < 0 ? r : add_mark(s, c->file, c->line);
}

/* Copies the text of a file. An include leaves the cursor at the start of a line. */
static int append_text(struct cursor *c)
{
        bool line_start = true;
        int r = 0;

        while (r == 0 && *c->p) {
                char *name = line_start ? token_find_include(c->p) : NULL;

                if (!name)
                        line_start = *c->p == '\n';
                r = name ? include(c, name) : copy_token(c);
        }
        return r;
}

/* Reports that a file cannot be read: at its include, or at line 1 of the main file. */
static void report_file(const struct cursor *c, const char *path, const char *error)
{
        char escaped[ESCAPE_PATH_SIZE];

        if (c->from)
                mistake(c->source, c->from->file, c->from->line, "@include \"%s\": %s",
                        escape_path(path, escaped), error);
        else
                mistake(c->source, path, 1, "cannot read the file: %s", error);
}

/* Whether the file is one of those that include it, perhaps under another name. */
static bool includes_itself(const struct cursor *c)
{
        for (const struct cursor *i = c->from; i; i = i->from)
                if (i->st.st_dev == c->st.st_dev && i->st.st_ino == c->st.st_ino)
                        return true;
        return false;
}

/* Reads the cursor's file, if it is readable and not too large. */
static int read_file(struct cursor *c, const char *path, char **text, size_t *n)
{
        _cleanup_(closep) int fd = -1;
        int r = file_open(path, &fd, &c->st);

        if (r < 0)
                return r;
        if (includes_itself(c))
                return -EDEADLK;
        if ((uint64_t)ftell(c->source->out) + (uint64_t)c->st.st_size > SOURCE_BYTES_MAX)
                return -EFBIG;
        return file_read(fd, (size_t)c->st.st_size, text, n);
}

static int add_file(struct source *s, const char *path, const struct stat *st, const char **name)
{
        struct source_file *files = reallocarray(s->files, s->n_files + 1, sizeof(*files));
        char *copy_of_path = strdup(path);

        if (files)
                s->files = files;
        if (!files || !copy_of_path) {
                free(copy_of_path);
                return -ENOMEM;
        }
        files[s->n_files++] = (struct source_file){ copy_of_path, st->st_uid, st->st_mode };
        *name = copy_of_path;
        return 0;
}

/* Copies a file that has been read. @n: the length of @text, to find a NUL byte in it. */
static int append_read(struct cursor *c, const char *path, char *text, size_t n)
{
        int r = add_file(c->source, path, &c->st, &c->file);

        if (r < 0)
                return r;
        new_line(c->source);
        r = add_mark(c->source, c->file, 1);
        if (r < 0)
                return r;
        c->p = text;
        r = append_text(c);
        new_line(c->source); /* for libconfig, a comment ends with a newline only */
        if (r == 0 && c->p != text + n) {
                mistake(c->source, c->file, c->line, "a NUL byte: this is not a text file");
                r = -EINVAL;
        }
        return r;
}

/* @from: the position of the include; NULL: this is the main file. */
static int append_file(struct source *s, const char *path, const struct cursor *from)
{
        struct cursor c = { .source = s, .from = from, .line = 1 };
        _cleanup_(freep) char *text = NULL;
        size_t n = 0;
        int r;

        c.depth = from ? from->depth + 1 : 0;
        if (from && s->n_files > SOURCE_FILES_MAX) {
                report_file(&c, path, "more than " DIGITS(SOURCE_FILES_MAX) " files are included");
                return -EINVAL;
        }
        if (c.depth > SOURCE_DEPTH_MAX) {
                report_file(&c, path, "nested deeper than " DIGITS(SOURCE_DEPTH_MAX) " files");
                return 0;
        }
        r = read_file(&c, path, &text, &n);
        if (r == 0)
                return append_read(&c, path, text, n);
        report_file(&c, path, r == -EDEADLK ? "includes itself" : file_error(r));
        return 0;
}

int source_read(const char *path, source_mistake_fn *on_mistake, void *arg, struct source **out)
{
        _cleanup_(source_freep) struct source *s = calloc(1, sizeof(*s));
        _cleanup_(freep) char *copy_of_path = strdup(path);
        int r;

        if (!s || !copy_of_path)
                return -ENOMEM;
        s->mistake = on_mistake;
        s->arg = arg;
        s->text_line = 1;
        s->directory = strdup(dirname(copy_of_path));
        s->out = open_memstream(&s->text, &s->size);
        if (!s->directory || !s->out)
                return -ENOMEM;
        r = append_file(s, path, NULL);
        if (r == 0 && (fflush(s->out) != 0 || ferror(s->out)))
                r = -ENOMEM;
        if (r < 0)
                return r;
        *out = s;
        s = NULL;
        return 0;
}

struct source *source_free(struct source *s)
{
        if (!s)
                return NULL;
        if (s->out)
                (void)fclose(s->out);
        free(s->text);
        for (size_t i = 0; i < s->n_files; i++)
                free(s->files[i].path);
        free(s->files);
        free(s->marks);
        free(s->directory);
        free(s);
        return NULL;
}

const struct source_file *source_files(const struct source *s, size_t *n)
{
        *n = s->n_files;
        return s->files;
}

const char *source_text(const struct source *s)
{
        return s->text;
}

/* Lines after the last line that has more than blanks and comments count as that line. */
static unsigned clamp(const struct source *s, unsigned line)
{
        unsigned last = s->last_line > 0 ? s->last_line : 1;

        return line < last ? line : last;
}

void source_locate(const struct source *s, unsigned line, const char **file, unsigned *at)
{
        const struct mark *mark = s->marks;

        line = clamp(s, line);
        for (size_t i = 0; i < s->n_marks && s->marks[i].text_line <= line; i++)
                mark = &s->marks[i];
        *file = mark->file;
        *at = mark->line + (line > mark->text_line ? line - mark->text_line : 0);
}

size_t source_line(const struct source *s, unsigned line, const char **text)
{
        const char *p = s->text, *end;

        for (unsigned i = clamp(s, line); i > 1; i--)
                p = strchr(p, '\n') + 1;
        p += strspn(p, " \t\r");
        end = p + strcspn(p, "\n");
        while (end > p && isspace((unsigned char)end[-1]))
                end--;
        *text = p;
        return (size_t)(end - p);
}
