/* SPDX-License-Identifier: MIT */
/*
 * The log: one line for each event, in the same words to the journal and to standard error.
 *
 * Each line is of one of the kinds below. A kind has a level and a MESSAGE_ID, which
 * systemd/selectd.catalog explains. The layers below session/ never log: they return errors, and
 * the caller that handles an error logs it once.
 *
 * There is one log for the process. Thread: any may write; the main thread makes the settings.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <stdint.h>

/* Levels, with the numbers of syslog(3): a lower number is more important. */
enum log_level {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

/* Kinds of events. */
enum log_kind {
        LOG_LISTENING,
        LOG_NOT_LISTENING,
        LOG_PASSED_DIFFERS,
        LOG_READY,
        LOG_WAITING,
        LOG_CONNECTED,
        LOG_RECEIVED,
        LOG_SENDING,
        LOG_QUEUE_EMPTY,
        LOG_EXCEPTION,
        LOG_UPSTREAM_REACHED,
        LOG_UPSTREAM_FAILED,
        LOG_UPSTREAM_DOWN,
        LOG_CLOSED,
        LOG_IDLE_EXIT,
        LOG_TURNED_AWAY,
        LOG_ACCEPT_PAUSED,
        LOG_RELOADED,
        LOG_RELOAD_FAILED,
        LOG_RESTART_NEEDED,
        LOG_STOPPING,
        LOG_STOPPED,
        LOG_STUCK,
        LOG_CONFIG_INVALID,
        LOG_CONFIG_PRIVATE,
        LOG_CONTROL_LISTENING,
        LOG_CONTROL_OPEN,
        LOG_START_FAILED,
        LOG_LOST,
        LOG_NOTIFY_FAILED,
        LOG_LIBRARY,
        LOG_KINDS,
};

/* How a connection went; logged when it ends. */
struct log_ending {
        uint64_t bytes_in, bytes_out;
        uint64_t bytes_lost; /* received but not delivered: SELECTD_BYTES_LOST, unless 0 */
        uint64_t duration_usec;
        const char *reason;
        const char *fault; /* the conditions that affected it: SELECTD_FAULT; NULL: none */
};

/* What a line is about: the fields of its journal record. Members that are zero are left out. */
struct log_about {
        const char *service; /* SELECTD_SERVICE; also begins the line */
        const char *client;  /* SELECTD_CLIENT; comes next in the line */
        uint64_t connection; /* SELECTD_CONNECTION, from 1 */
        const struct log_ending *ending;
        const char *config_file; /* CONFIG_FILE and CONFIG_LINE, as systemd names them */
        unsigned config_line;
};

/**
 * log_init() - choose where lines go
 *
 * Lines go to the journal if standard error is the journal's stream (JOURNAL_STREAM of
 * systemd.exec(5)). Otherwise, and before this call, they go to standard error.
 */
void log_init(void);

/**
 * log_set_nonblocking() - make log_write() non-blocking
 * @retry_fd: set to a descriptor that is readable when log_retry() is due; the log owns it
 *
 * Before this call, log_write() returns when the line has been written, so that a list of mistakes
 * is complete however slowly it is read. After this call, a line that cannot be written at once
 * waits in a queue of 256 KiB. A line that finds no room there is lost, and the number of lost
 * lines is logged as soon as there is room. Main thread, once, before other threads write.
 *
 * Return: 0; what timerfd_create(2) fails with.
 */
_must_use_ int log_set_nonblocking(int *retry_fd);

/* Writes as many queued lines as possible without blocking. */
void log_retry(void);

/* Before the process exits: waits up to half a second for the queued lines to be written. */
void log_flush(void);

/* Return: how many records have been lost since the process began. */
uint64_t log_count_lost(void);

/* Sets the least important level that is written; LOG_LEVEL_INFO at first. */
void log_set_level(enum log_level level);

/* Whether lines of this kind are written: for callers that would have to prepare one. */
bool log_wants(enum log_kind kind);

/**
 * log_write() - log an event
 * @about: what the line is about; NULL: the daemon
 *
 * The line is "SERVICE: CLIENT " as far as @about has them, then @words. Untrusted bytes must have
 * been escaped, see escape_bytes(). Lines longer than 8 KiB are cut. A line that cannot be written
 * is counted; see log_set_nonblocking().
 */
_printf_(3, 4) void log_write(enum log_kind kind, const struct log_about *about, const char *words,
                              ...);
