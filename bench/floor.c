/* The floor: how fast this machine starts processes at all.
 *
 * usage: floor COUNT IN_FLIGHT
 *
 * Starts /bin/true COUNT times with posix_spawn, never more than IN_FLIGHT at once, standard output to /dev/null,
 * and waits for each. Prints processes per second. Nothing that runs jobs can be faster than about this.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static void die(const char *what, int error) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(error));
    exit(1);
}

static double now_seconds(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) die("clock_gettime", errno);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    long count = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
    long in_flight = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (count < 1 || in_flight < 1) {
        fprintf(stderr, "usage: floor COUNT IN_FLIGHT\n");
        return 2;
    }

    char *const program[] = {"/bin/true", NULL};
    char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) die("posix_spawn_file_actions_init", error);
    error = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (error) die("posix_spawn_file_actions_addopen", error);

    double start = now_seconds();
    long started = 0, ended = 0;
    while (ended < count) {
        while (started < count && started - ended < in_flight) {
            pid_t pid;
            error = posix_spawn(&pid, program[0], &actions, NULL, program, environment);
            if (error) die("posix_spawn /bin/true", error);
            started++;
        }
        int status;
        pid_t pid;
        do pid = waitpid(-1, &status, 0);
        while (pid < 0 && errno == EINTR);
        if (pid < 0) die("waitpid", errno);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            fprintf(stderr, "floor: /bin/true ended with status %d\n", status);
            return 1;
        }
        ended++;
    }
    printf("%.1f\n", (double)count / (now_seconds() - start));
    return 0;
}
