/* SPDX-License-Identifier: MIT */
/*
 * A question is a name with its queries, its look-up and its last answer. Questions are in a hash
 * table by name. The lock protects all questions, queries and lists. Look-ups and callbacks happen
 * without it.
 */
#include "resolver.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define BUCKETS 256

/* The most answers that are delivered in one turn of the loop, so that other events are handled. */
#define DELIVER_BATCH 64

/* The result of a look-up. It is never changed, and queries of all threads share it. */
struct answer {
        unsigned refs;
        int error; /* 0, and then n > 0; see query_addresses() */
        size_t n;
        struct address addresses[];
};

struct question {
        LIST_ENTRY(question) entry;  /* in its bucket */
        TAILQ_ENTRY(question) place; /* in the queue, while @queued */
        struct query_list queries;   /* the queries that wait for the answer */
        struct answer *answer;       /* the last answer; NULL: none yet */
        uint64_t shared_until_usec;  /* until when later queries get @answer */
        bool queued, running;
        char host[];
};

struct query {
        TAILQ_ENTRY(query) entry; /* in the question's list, and then in the asker's */
        struct asker *asker;
        struct question *question; /* the question that it waits for; NULL: none */
        struct answer *answer;     /* a reference; NULL: none yet */
        bool undelivered;          /* it is in the asker's list */
        void (*on_answer)(void *arg);
        void *arg;
};

struct resolver {
        pthread_mutex_t lock;
        pthread_cond_t work;  /* a question is queued, or the threads must end */
        pthread_cond_t ended; /* a thread has ended */
        unsigned refs;        /* the owner's and each thread's */
        unsigned n_threads, n_running, n_queued;
        bool closing;
        TAILQ_HEAD(, question) queue;
        LIST_HEAD(, question) buckets[BUCKETS];
};

static void lock(struct resolver *resolver)
{
        (void)pthread_mutex_lock(&resolver->lock);
}

static void unlock(struct resolver *resolver)
{
        (void)pthread_mutex_unlock(&resolver->lock);
}

/* Answers */

static struct answer *answer_ref(struct answer *answer)
{
        (void)__atomic_add_fetch(&answer->refs, 1, __ATOMIC_RELAXED);
        return answer;
}

static struct answer *answer_unref(struct answer *answer)
{
        if (answer && __atomic_sub_fetch(&answer->refs, 1, __ATOMIC_ACQ_REL) == 0)
                free(answer);
        return NULL;
}

/* The answer when memory is short. Its first reference is never returned, so it is never freed. */
static struct answer no_memory = { .refs = 1, .error = -ENOMEM };

static struct answer *answer_new(int error, size_t n)
{
        struct answer *answer = calloc(1, sizeof(*answer) + n * sizeof(answer->addresses[0]));

        if (!answer)
                return answer_ref(&no_memory);
        answer->refs = 1;
        answer->error = error;
        return answer;
}

static int error_of(int result, int system_error)
{
        switch (result) {
        case 0:
                return 0;
        case EAI_MEMORY:
                return -ENOMEM;
        case EAI_SYSTEM:
                return system_error ? -system_error : -EHOSTDOWN;
        default:
                return -EHOSTDOWN;
        }
}

/*
 * Looks up a name; blocks. AI_ADDRCONFIG is not set, because it hides loopback addresses of a
 * family in which the host has no other address. Connecting to an unreachable address fails at
 * once, and the next address is tried.
 */
static struct answer *look_up(const char *host)
{
        const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
        struct addrinfo *found = NULL;
        int result = getaddrinfo(host, NULL, &hints, &found), r = error_of(result, errno);
        struct answer *answer;
        size_t n = 0;

        for (const struct addrinfo *i = found; i; i = i->ai_next)
                n++;
        if (r == 0 && n == 0)
                r = -EHOSTDOWN;
        answer = answer_new(r, n);
        for (const struct addrinfo *i = found; i && answer->error == 0; i = i->ai_next) {
                struct address *address = &answer->addresses[answer->n++];

                address->length = i->ai_addrlen;
                memcpy(&address->storage, i->ai_addr, i->ai_addrlen);
        }
        if (found)
                freeaddrinfo(found);
        return answer;
}

/* Questions. The lock is held */

static size_t bucket_of(const char *host)
{
        size_t hash = 5381;

        for (const char *c = host; *c; c++)
                hash = hash * 33 + (unsigned char)*c;
        return hash % BUCKETS;
}

static void question_free(struct question *question)
{
        LIST_REMOVE(question, entry);
        answer_unref(question->answer);
        free(question);
}

static bool is_shared(const struct question *question, uint64_t now)
{
        return question->answer && now < question->shared_until_usec;
}

/* Whether the question can be freed. */
static bool is_over(const struct question *question, uint64_t now)
{
        return !question->queued && !question->running && TAILQ_EMPTY(&question->queries) &&
               !is_shared(question, now);
}

/* Finds or makes a question. Frees other questions of its bucket that are over. */
static int find_question(struct resolver *resolver, const char *host, uint64_t now,
                         struct question **out)
{
        struct question *question, *next, *found = NULL;
        size_t bucket = bucket_of(host), size = strlen(host) + 1;

        for (question = LIST_FIRST(&resolver->buckets[bucket]); question; question = next) {
                next = LIST_NEXT(question, entry);
                if (strcmp(question->host, host) == 0)
                        found = question;
                else if (is_over(question, now))
                        question_free(question);
        }
        if (!found) {
                found = calloc(1, sizeof(*found) + size);
                if (!found)
                        return -ENOMEM;
                memcpy(found->host, host, size);
                TAILQ_INIT(&found->queries);
                LIST_INSERT_HEAD(&resolver->buckets[bucket], found, entry);
        }
        *out = found;
        return 0;
}

static void dequeue(struct resolver *resolver, struct question *question)
{
        TAILQ_REMOVE(&resolver->queue, question, place);
        question->queued = false;
        resolver->n_queued--;
}

/* Gives the answer to all queries of the question. */
static void publish(struct question *question, struct answer *answer)
{
        uint64_t shared = answer->error < 0 ? RESOLVER_FAILED_USEC : RESOLVER_SHARED_USEC;
        struct query *query;

        answer_unref(question->answer);
        question->answer = answer;
        question->shared_until_usec = now_usec() + shared;
        while ((query = TAILQ_FIRST(&question->queries))) {
                TAILQ_REMOVE(&question->queries, query, entry);
                query->question = NULL;
                query->answer = answer_ref(answer);
                query->undelivered = true;
                TAILQ_INSERT_TAIL(&query->asker->answered, query, entry);
                /* The loop exists: it outlives its queries, which are freed under the lock. */
                loop_post(query->asker->loop, &query->asker->deliver);
        }
}

/* Threads */

/* Returns a reference, and releases the lock. */
static void resolver_unref(struct resolver *resolver)
{
        bool last = --resolver->refs == 0;

        unlock(resolver);
        if (!last)
                return;
        for (size_t i = 0; i < BUCKETS; i++)
                while (!LIST_EMPTY(&resolver->buckets[i]))
                        question_free(LIST_FIRST(&resolver->buckets[i]));
        (void)pthread_cond_destroy(&resolver->work);
        (void)pthread_cond_destroy(&resolver->ended);
        (void)pthread_mutex_destroy(&resolver->lock);
        free(resolver);
}

/* Waits for a question. Return: the question; NULL: the thread must end. */
static struct question *next_question(struct resolver *resolver)
{
        uint64_t until = now_usec() + RESOLVER_IDLE_USEC;
        const struct timespec end = { .tv_sec = (time_t)(until / USEC_PER_SEC),
                                      .tv_nsec = (long)(until % USEC_PER_SEC * 1000) };
        struct question *question;
        int r = 0;

        while (!resolver->closing && TAILQ_EMPTY(&resolver->queue) && r == 0)
                r = pthread_cond_timedwait(&resolver->work, &resolver->lock, &end);
        question = TAILQ_FIRST(&resolver->queue);
        return resolver->closing ? NULL : question;
}

static void *run(void *arg)
{
        struct resolver *resolver = arg;
        struct question *question;

        (void)pthread_setname_np(pthread_self(), "selectd-names");
        lock(resolver);
        while ((question = next_question(resolver))) {
                struct answer *answer;

                dequeue(resolver, question);
                question->running = true;
                resolver->n_running++;
                unlock(resolver);
                answer = look_up(question->host); /* a question that runs is not freed */
                lock(resolver);
                resolver->n_running--;
                question->running = false;
                publish(question, answer);
        }
        resolver->n_threads--;
        (void)pthread_cond_signal(&resolver->ended);
        resolver_unref(resolver);
        return NULL;
}

/* The thread blocks all signals, which the main thread reads, and is detached. */
static int start_thread(struct resolver *resolver)
{
        sigset_t all, before;
        pthread_t thread;
        int r;

        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&thread, NULL, run, resolver);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r < 0)
                return r;
        (void)pthread_detach(thread);
        resolver->n_threads++;
        resolver->refs++;
        return 0;
}

/* Queues the question. Starts a thread for it if none is idle and the limit allows one more. */
static int enqueue(struct resolver *resolver, struct question *question)
{
        unsigned idle = resolver->n_threads - resolver->n_running;

        if (resolver->n_queued >= idle && resolver->n_threads < RESOLVER_THREADS) {
                int r = start_thread(resolver);

                if (r < 0 && resolver->n_threads == 0)
                        return r;
        }
        question->queued = true;
        resolver->n_queued++;
        TAILQ_INSERT_TAIL(&resolver->queue, question, place);
        (void)pthread_cond_signal(&resolver->work);
        return 0;
}

int resolver_new(struct resolver **out)
{
        struct resolver *resolver = calloc(1, sizeof(*resolver));
        pthread_condattr_t monotonic;

        if (!resolver)
                return -ENOMEM;
        resolver->refs = 1;
        TAILQ_INIT(&resolver->queue);
        (void)pthread_mutex_init(&resolver->lock, NULL); /* on Linux none of these can fail */
        (void)pthread_condattr_init(&monotonic);
        (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&resolver->work, &monotonic);
        (void)pthread_cond_init(&resolver->ended, NULL);
        (void)pthread_condattr_destroy(&monotonic);
        *out = resolver;
        return 0;
}

struct resolver *resolver_free(struct resolver *resolver)
{
        if (!resolver)
                return NULL;
        lock(resolver);
        resolver->closing = true;
        (void)pthread_cond_broadcast(&resolver->work);
        while (resolver->n_threads > resolver->n_running)
                (void)pthread_cond_wait(&resolver->ended, &resolver->lock);
        resolver_unref(resolver);
        return NULL;
}

/* Askers and queries */

static struct query *take_undelivered(struct asker *asker)
{
        struct query *query;

        lock(asker->resolver);
        query = TAILQ_FIRST(&asker->answered);
        if (query) {
                TAILQ_REMOVE(&asker->answered, query, entry);
                query->undelivered = false;
        }
        unlock(asker->resolver);
        return query;
}

static void deliver(struct loop_task *task)
{
        struct asker *asker = container_of(task, struct asker, deliver);
        struct query *query;

        for (int i = 0; i < DELIVER_BATCH; i++) {
                query = take_undelivered(asker);
                if (!query)
                        return;
                query->on_answer(query->arg);
        }
        loop_post(asker->loop, &asker->deliver);
}

void asker_init(struct asker *asker, struct resolver *resolver, struct loop *loop)
{
        *asker = (struct asker){ .resolver = resolver, .loop = loop, .deliver.run = deliver };
        TAILQ_INIT(&asker->answered);
}

/* Takes a shared answer, or waits for a new one. The lock is held. */
static int ask(struct resolver *resolver, struct query *query, const char *host)
{
        struct question *question;
        uint64_t now = now_usec();
        int r = find_question(resolver, host, now, &question);

        if (r < 0)
                return r;
        if (is_shared(question, now)) {
                query->answer = answer_ref(question->answer);
                return 0;
        }
        if (!question->queued && !question->running)
                r = enqueue(resolver, question);
        if (r < 0)
                return r;
        query->question = question;
        TAILQ_INSERT_TAIL(&question->queries, query, entry);
        return 0;
}

int query_new(struct asker *asker, const char *host, void (*on_answer)(void *arg), void *arg,
              struct query **out)
{
        _cleanup_(freep) struct query *query = calloc(1, sizeof(*query));
        int r;

        if (!query)
                return -ENOMEM;
        query->asker = asker;
        query->on_answer = on_answer;
        query->arg = arg;
        lock(asker->resolver);
        r = ask(asker->resolver, query, host);
        unlock(asker->resolver);
        if (r < 0)
                return r;
        *out = query;
        query = NULL;
        return 0;
}

bool query_is_answered(const struct query *query)
{
        bool answered;

        lock(query->asker->resolver);
        answered = query->answer && !query->undelivered;
        unlock(query->asker->resolver);
        return answered;
}

int query_addresses(const struct query *query, const struct address **out, size_t *n)
{
        if (query->answer->error < 0)
                return query->answer->error;
        *out = query->answer->addresses;
        *n = query->answer->n;
        return 0;
}

struct query *query_free(struct query *query)
{
        struct resolver *resolver;
        struct question *question;

        if (!query)
                return NULL;
        resolver = query->asker->resolver;
        lock(resolver);
        question = query->question;
        if (question)
                TAILQ_REMOVE(&question->queries, query, entry);
        if (question && question->queued && TAILQ_EMPTY(&question->queries))
                dequeue(resolver, question); /* no query needs it any more */
        if (query->undelivered)
                TAILQ_REMOVE(&query->asker->answered, query, entry);
        unlock(resolver);
        answer_unref(query->answer);
        free(query);
        return NULL;
}
