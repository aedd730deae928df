/*
 * Gathering of the text. A file is walked token by token, so that an include and an integer are
 * told from what only looks like one in a comment, a string or a name. Everything else is copied.
 */
#include "source.h"
#include "escape.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

/* From text line @text_line on, lines are those of @file from @line on. */
struct mark {
        unsigned text_line;
        unsigned line;
        const char *file;
};

struct source {
        char *text;
        size_t size;
        FILE *out;          /* writes @text */
        unsigned text_line; /* that is being written, from 1 */
        unsigned last_line; /* of the text: with something else than space and comments on it */
        unsigned n_names;
        struct mark *marks;
        size_t n_marks;
        struct source_file *files;
        size_t n_files;
        char *directory; /* of the first file */
        source_mistake_fn *mistake;
        void *arg;
};

/* One file on its way into the text. */
struct cursor {
        struct source *source;
        const struct cursor *from; /* in the file that includes this one; NULL: none does */
        const char *file;
        struct stat st;
        char *p, *end;
        unsigned line;
        unsigned depth;
};

static int append_file(struct source *s, const char *path, unsigned depth,
                       const struct cursor *from);

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

/* Copies the cursor's next @n bytes and counts the lines in them. */
static void copy(struct cursor *c, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (c->p[i] == '\n') {
                        c->line++;
                        c->source->text_line++;
                }
        }
        (void)fwrite(c->p, 1, n, c->source->out);
        c->p += n;
}

static bool is_comment(const char *p)
{
        return *p == '#' || strncmp(p, "//", 2) == 0 || strncmp(p, "/*", 2) == 0;
}

/* Return: the end of the comment, string or single character at @p; NULL: it has no end. */
static char *token_end(char *p)
{
        char *end;

        if (strncmp(p, "/*", 2) == 0) {
                end = strstr(p + 2, "*/");
                return end ? end + 2 : NULL;
        }
        if (is_comment(p))
                return p + strcspn(p, "\n");
        if (*p != '"')
                return p + 1;
        for (p++; *p != '"'; p++) {
                if (*p == '\\')
                        p++;
                if (!*p || *p == '\n')
                        return NULL;
        }
        return p + 1;
}

/* libconfig would look for the end in the file that includes this one, or on the next lines. */
static int refuse_open_token(struct cursor *c)
{
        mistake(c->source, c->file, c->line,
                *c->p == '"' ? "a string that does not end on its line"
                             : "a comment that does not end in this file");
        return -EINVAL;
}

/*
 * libconfig gives a string in a list the line of the comma or bracket behind it. One on a later
 * line is put beside the string, and a space where it stood.
 */
static void pull_delimiter(struct cursor *c)
{
        char *p = c->p;

        while (p && (isspace((unsigned char)*p) || is_comment(p)))
                p = token_end(p);
        if (!p || (*p != ',' && *p != ']' && *p != ')') || !memchr(c->p, '\n', (size_t)(p - c->p)))
                return;
        (void)fputc(*p, c->source->out);
        *p = ' ';
}

/* Copies a comment, a string or one character. */
static int copy_token(struct cursor *c)
{
        char *end = token_end(c->p);
        bool is_string = *c->p == '"', is_blank = isspace((unsigned char)*c->p) || is_comment(c->p);

        if (!end)
                return refuse_open_token(c);
        copy(c, (size_t)(end - c->p));
        if (is_string)
                pull_delimiter(c);
        if (!is_blank)
                c->source->last_line = c->source->text_line;
        return 0;
}

static int copy_name(struct cursor *c)
{
        const char *p = c->p;

        if (++c->source->n_names > SOURCE_NAMES_MAX) {
                mistake(c->source, c->file, c->line, "more than %d settings", SOURCE_NAMES_MAX);
                return -EINVAL;
        }
        while (p < c->end && (isalnum((unsigned char)*p) || strchr("-_*", *p)))
                p++;
        copy(c, (size_t)(p - c->p));
        c->source->last_line = c->source->text_line;
        return 0;
}

/* Copies a number. An integer too wide for 32 bits gets the suffix L, which libconfig needs for it.
 */
static void copy_number(struct cursor *c)
{
        bool hex = c->p[0] == '0' && (c->p[1] == 'x' || c->p[1] == 'X');
        char *end;
        intmax_t value;

        errno = 0;
        value = strtoimax(c->p, &end, hex ? 16 : 10);
        c->source->last_line = c->source->text_line;
        if (*end && strchr(".eE", *end)) {
                copy(c, strspn(c->p, "+-.0123456789eE")); /* a float */
                return;
        }
        if (end == c->p)
                end++; /* a sign that belongs to no number */
        copy(c, (size_t)(end - c->p));
        if (errno == ERANGE && !hex && *end != 'L')
                (void)fputs(".0", c->source->out); /* which no integer key takes */
        else if ((value > INT32_MAX || value < INT32_MIN) && *end != 'L')
                (void)fputc('L', c->source->out);
}

/*
 * Moves past an include, if one stands at the beginning of a line.
 *
 * @path: set to a copy of its name, for the caller to free
 * Return: 1; 0: there is none; -EINVAL: its name does not end; -ENOMEM.
 */
static int take_include(struct cursor *c, char **path)
{
        static const char word[] = "@include";
        char *p = c->p + strspn(c->p, " \t"), *name;
        size_t n = 0, blanks;

        if (strncmp(p, word, strlen(word)) != 0)
                return 0;
        p += strlen(word);
        blanks = strspn(p, " \t");
        p += blanks;
        if (blanks == 0 || *p != '"')
                return 0;
        c->p = p;
        if (!token_end(p))
                return refuse_open_token(c);
        name = malloc((size_t)(token_end(p) - p));
        if (!name)
                return -ENOMEM;
        for (p++; *p != '"'; p++) {
                if (*p == '\\' && (p[1] == '\\' || p[1] == '"'))
                        p++;
                name[n++] = *p;
        }
        name[n] = '\0';
        c->p = p + 1;
        *path = name;
        return 1;
}

/* Puts the named file where the cursor is, on lines of its own. */
static int include(struct cursor *c, const char *name)
{
        struct source *s = c->source;
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s%s%s", name[0] == '/' ? "" : s->directory, name[0] == '/' ? "" : "/",
                     name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = append_file(s, path, c->depth + 1, c);
        return r < 0 ? r : add_mark(s, c->file, c->line);
}

/*
 * Walks a file's text, which is NUL-terminated. What stands behind an include begins a line, for
 * libconfig as well.
 */
static int append_text(struct cursor *c)
{
        bool line_start = true;
        int r = 0;

        while (r == 0 && c->p < c->end) {
                _cleanup_(freep) char *name = NULL;

                if (line_start)
                        r = take_include(c, &name);
                if (r > 0) {
                        r = include(c, name);
                        continue;
                }
                line_start = *c->p == '\n';
                if (r < 0)
                        break;
                if (isalpha((unsigned char)*c->p) || *c->p == '*')
                        r = copy_name(c);
                else if (strchr("+-.0123456789", *c->p))
                        copy_number(c);
                else
                        r = copy_token(c);
        }
        return r;
}

/* Whether the file is one of those that led here, by whatever name. */
static bool includes_itself(const struct cursor *c)
{
        for (const struct cursor *i = c->from; i; i = i->from)
                if (i->st.st_dev == c->st.st_dev && i->st.st_ino == c->st.st_ino)
                        return true;
        return false;
}

/* Reads a whole regular file, NUL-terminated, and sets c->st. */
static int read_file(const char *path, size_t max, struct cursor *c, char **text, size_t *size)
{
        /* Without O_NONBLOCK a FIFO would wait for its writer. */
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        _cleanup_(freep) char *buffer = NULL;
        ssize_t got = 1;
        size_t n = 0;

        if (fd < 0 || fstat(fd, &c->st) < 0)
                return -errno;
        if (S_ISDIR(c->st.st_mode))
                return -EISDIR;
        if (!S_ISREG(c->st.st_mode))
                return -ENOTSUP;
        if (includes_itself(c))
                return -EDEADLK;
        if ((uint64_t)c->st.st_size > max)
                return -EFBIG;
        buffer = calloc((size_t)c->st.st_size + 1, 1);
        if (!buffer)
                return -ENOMEM;
        for (; got > 0 && n < (size_t)c->st.st_size; n += (size_t)got) {
                got = read(fd, buffer + n, (size_t)c->st.st_size - n);
                if (got < 0)
                        return -errno;
        }
        buffer[n] = '\0';
        *text = buffer;
        buffer = NULL;
        *size = n;
        return 0;
}

static const char *read_error(int r)
{
        switch (r) {
        case -ENOTSUP:
                return "not a regular file";
        case -EDEADLK:
                return "includes itself";
        default:
                return strerrordesc_np(-r);
        }
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

static int append_file(struct source *s, const char *path, unsigned depth,
                       const struct cursor *from)
{
        _cleanup_(freep) char *text = NULL;
        char shown[ESCAPE_SIZE(PATH_MAX)];
        struct cursor c = { .source = s, .from = from, .line = 1, .depth = depth };
        size_t used, size = 0;
        int r;

        escape_bytes(shown, path, strnlen(path, PATH_MAX));
        if (from && s->n_files > SOURCE_FILES_MAX) {
                mistake(s, from->file, from->line,
                        "@include \"%s\": more than %d files are included", shown,
                        SOURCE_FILES_MAX);
                return -EINVAL;
        }
        if (from && depth > SOURCE_DEPTH_MAX) {
                mistake(s, from->file, from->line, "@include \"%s\": nested deeper than %d files",
                        shown, SOURCE_DEPTH_MAX);
                return 0;
        }
        used = (size_t)ftell(s->out);
        r = read_file(path, used < SOURCE_BYTES_MAX ? SOURCE_BYTES_MAX - used : 0, &c, &text,
                      &size);
        if (r < 0) {
                if (from)
                        mistake(s, from->file, from->line, "@include \"%s\": %s", shown,
                                read_error(r));
                else
                        mistake(s, path, 1, "cannot read the file: %s", read_error(r));
                return 0;
        }

        r = add_file(s, path, &c.st, &c.file);
        if (r < 0)
                return r;
        new_line(s);
        r = add_mark(s, c.file, 1);
        if (r < 0)
                return r;
        c.p = text;
        c.end = text + strlen(text); /* NOLINT(clang-analyzer-core.*): set by read_file() */
        r = append_text(&c);
        new_line(s); /* libconfig knows no comment that ends with the file */
        if (r == 0 && c.end != text + size) {
                mistake(s, c.file, c.line, "a NUL byte: this is not a text file");
                r = -EINVAL;
        }
        return r;
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
        r = append_file(s, path, 0, NULL);
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

/* The end of the text is on the last line that says something. */
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
