/*
 * Gathering of configuration text. A file is walked token by token, only so far as to tell an
 * include line and an integer from what stands in comments, strings and names; all else is copied.
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

/* How far source_find() looks back, and how much of a word it compares. */
#define FIND_BYTES      4096
#define FIND_WORD_BYTES 64

/* From text line @text_line on, lines are those of @file from @line on. */
struct mark {
        unsigned text_line;
        unsigned line;
        const char *file;
};

struct source {
        char *text;
        size_t size;
        FILE *out; /* writes @text */
        unsigned text_line;
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

/* Where what begins at @p ends, a comment, a string or one character; NULL: nowhere. */
static char *token_end(char *p)
{
        char *end;

        if (*p == '#' || strncmp(p, "//", 2) == 0)
                return p + strcspn(p, "\n");
        if (strncmp(p, "/*", 2) == 0) {
                end = strstr(p + 2, "*/");
                return end ? end + 2 : NULL;
        }
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

static void mistake_open_string(struct cursor *c)
{
        mistake(c->source, c->file, c->line, "a string that does not end on its line");
}

/*
 * Copies what begins here and does not end. A comment would go on in the file that includes this
 * one; a string is closed at the end of its line, for no value has two.
 */
static int copy_open(struct cursor *c)
{
        if (*c->p != '"') {
                mistake(c->source, c->file, c->line, "a comment that does not end in this file");
                return -EINVAL;
        }
        mistake_open_string(c);
        copy(c, strcspn(c->p, "\n"));
        (void)fputs(c->p[-1] == '\\' ? " \"" : "\"", c->source->out);
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
        return 0;
}

/* Copies a number; an integer too wide for libconfig with the suffix that makes it keep all of it.
 */
static void copy_number(struct cursor *c)
{
        bool hex = c->p[0] == '0' && (c->p[1] == 'x' || c->p[1] == 'X');
        char *end;
        intmax_t value;

        errno = 0;
        value = strtoimax(c->p, &end, hex ? 16 : 10);

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
 * Whether an include stands here; sets @path to a copy of its name, or leaves it NULL where that
 * does not end, which is a mistake, and moves the cursor past it.
 */
static int take_include(struct cursor *c, char **path)
{
        static const char word[] = "@include";
        char *p = c->p + strspn(c->p, " \t");
        size_t n = 0;

        if (strncmp(p, word, strlen(word)) != 0)
                return 0;
        p += strlen(word);
        if (*p != ' ' && *p != '\t')
                return 0;
        p += strspn(p, " \t");
        if (*p != '"')
                return 0;
        if (!token_end(p)) {
                mistake_open_string(c);
                c->p += strcspn(c->p, "\n");
                return 1;
        }
        p++;
        *path = malloc(strcspn(p, "\n") + 1);
        if (!*path)
                return -ENOMEM;
        for (; *p != '"'; p++) {
                if (*p == '\\' && (p[1] == '\\' || p[1] == '"'))
                        p++;
                (*path)[n++] = *p;
        }
        (*path)[n] = '\0';
        c->p = p + 1;
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

/* Walks a file's text, which is NUL-terminated. */
static int append_text(struct cursor *c)
{
        bool line_start = true;
        int r = 0;

        while (r == 0 && c->p < c->end) {
                bool was_start = line_start;

                line_start = *c->p == '\n';
                if (was_start && strchr(" \t@", *c->p)) {
                        _cleanup_(freep) char *name = NULL;

                        r = take_include(c, &name);
                        if (r != 0) {
                                if (name)
                                        r = include(c, name);
                                r = r < 0 ? r : 0;
                                line_start = true; /* the rest begins one, for libconfig too */
                                continue;
                        }
                }
                if (isalpha((unsigned char)*c->p) || *c->p == '*')
                        r = copy_name(c);
                else if (strchr("+-.0123456789", *c->p))
                        copy_number(c);
                else if (token_end(c->p))
                        copy(c, (size_t)(token_end(c->p) - c->p));
                else
                        r = copy_open(c);
        }
        return r;
}

/* Opens a regular file, and sets c->st. Without O_NONBLOCK a FIFO would wait for its writer. */
static int open_regular(const char *path, struct cursor *c, int *out)
{
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0 || fstat(fd, &c->st) < 0)
                return -errno;
        if (S_ISDIR(c->st.st_mode))
                return -EISDIR;
        if (!S_ISREG(c->st.st_mode))
                return -ENOTSUP;
        *out = fd;
        fd = -1;
        return 0;
}

/* Whether the file is one of those that led here, by whatever name. */
static bool includes_itself(const struct cursor *c)
{
        for (const struct cursor *i = c->from; i; i = i->from)
                if (i->st.st_dev == c->st.st_dev && i->st.st_ino == c->st.st_ino)
                        return true;
        return false;
}

/* Reads a whole file, NUL-terminated. @c: see open_regular(). */
static int read_file(const char *path, size_t max, struct cursor *c, char **text, size_t *size)
{
        _cleanup_(freep) char *buffer = malloc(max + 2);
        _cleanup_(closep) int fd = -1;
        size_t n = 0;
        ssize_t got = 1;
        int r = buffer ? open_regular(path, c, &fd) : -ENOMEM;

        if (r < 0)
                return r;
        if (includes_itself(c))
                return -EDEADLK;
        while (n <= max && got > 0) {
                got = read(fd, buffer + n, max + 1 - n);
                if (got < 0)
                        return -errno;
                n += (size_t)got;
        }
        if (n > max)
                return -EFBIG;
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

void source_locate(const struct source *s, unsigned line, const char **file, unsigned *at)
{
        const struct mark *mark = s->marks;

        for (size_t i = 0; i < s->n_marks && s->marks[i].text_line <= line; i++)
                mark = &s->marks[i];
        *file = mark->file;
        *at = mark->line + (line > mark->text_line ? line - mark->text_line : 0);
}

/* Where line @line of the text begins; NULL: it has fewer. */
static char *line_begin(const struct source *s, unsigned line)
{
        char *p = s->text;

        for (unsigned i = 1; i < line && p; i++) {
                p = strchr(p, '\n');
                p = p ? p + 1 : NULL;
        }
        return p;
}

/* Where the statement begins that goes on at @to, as far as it can be told; NULL: it can't. */
static char *statement_begin(char *p, const char *to)
{
        char *begin = NULL, *end;

        for (; p < to; p = end) {
                end = token_end(p);
                if (!end)
                        return NULL;
                if (strchr(";{}", *p))
                        begin = NULL;
                else if (!begin && !strchr(" \t\r\n#/", *p))
                        begin = p;
        }
        return begin ? begin : p; /* which may be behind @to, where a comment goes on to */
}

/*
 * Where a statement ends: at @to or behind it, with its brackets closed, or where what stands there
 * says that one of them never is; NULL: nowhere.
 */
static char *statement_end(char *p, const char *to)
{
        char open[32] = ""; /* brackets */
        size_t n = 0;
        char *end;

        for (; *p && (p < to || n > 0); p = end) {
                bool in_group = n > 0 && open[n - 1] == '{';

                end = token_end(p);
                if (!end || n == sizeof(open))
                        return NULL;
                if (strchr("{[(", *p))
                        open[n++] = *p;
                else if (*p == ';' && n > 0 && !in_group)
                        return end;
                else if ((*p == '}' && !in_group) || (strchr("])", *p) && (n == 0 || in_group)))
                        return p;
                else if (strchr("}])", *p))
                        n--;
        }
        return n > 0 ? NULL : p + strspn(p, " \t\r\n;");
}

/*
 * libconfig 1.5 takes an include at the beginning of a line by itself, whatever it names. What is
 * one has been taken here; what has come to stand there since is none.
 */
static void disarm_includes(struct source *s)
{
        for (char *p = s->text; p; p = strchr(p, '\n')) {
                p += strspn(p, "\n \t");
                if (*p == '@')
                        *p = ' ';
        }
}

bool source_strike(struct source *s, unsigned line)
{
        char *at = line_begin(s, line), *p = at ? statement_begin(s->text, at) : NULL;
        const char *end = p ? statement_end(p, at + strcspn(at, "\n")) : NULL;
        bool any = false;

        for (; end && p < end; p++) {
                any |= !isspace((unsigned char)*p);
                if (*p != '\n')
                        *p = ' ';
        }
        disarm_includes(s);
        return any;
}

unsigned source_find(const struct source *s, unsigned line, const char *word)
{
        const char *start, *p, *end;
        size_t length = source_line(s, line, &start);
        size_t word_length = strnlen(word, FIND_WORD_BYTES);
        unsigned found = line;

        end = length > 0 ? start + length : s->text;
        for (p = end; p > s->text && end - p < FIND_BYTES; p--) {
                if (p[-1] == '"' && strncmp(p, word, word_length) == 0)
                        return found;
                found -= p[-1] == '\n';
        }
        return line;
}

size_t source_line(const struct source *s, unsigned line, const char **text)
{
        const char *p = line_begin(s, line), *end;

        if (!p)
                return 0;
        p += strspn(p, " \t\r");
        end = p + strcspn(p, "\n");
        while (end > p && isspace((unsigned char)end[-1]))
                end--;
        *text = p;
        return (size_t)(end - p);
}

unsigned source_last(const struct source *s, unsigned line)
{
        const char *p = line_begin(s, line);

        if (!p)
                return 1;
        for (;;) {
                const char *word = p + strspn(p, " \t\r");

                if (line == 1 || !(*word == '\0' || *word == '\n' || *word == '#' ||
                                   strncmp(word, "//", 2) == 0))
                        return line;
                for (p--; p > s->text && p[-1] != '\n'; p--)
                        ;
                line--;
        }
}
