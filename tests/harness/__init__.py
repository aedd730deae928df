# SPDX-License-Identifier: MIT
"""A selectd under test, and the clients and servers that talk to it.

A test writes a configuration with config(), starts a Daemon on it, and waits for what the daemon logs or
sends. Nothing here sleeps. Every wait ends after DEADLINE seconds at the latest. Every daemon ends with
the test that started it, and its standard error is searched for sanitizer reports.

The helpers that most tests need can be imported from here. The others have a module for each subject:
hub_members, name_server, programs, proxy_headers, worker_threads.
"""
from .clients import (FILLS_ANY_LINE, MORE_THAN_SELECT_HOLDS, Steady, Visitor, connect, echo,
                      expect_reset, is_served, more_visits, name_of, pattern, push, recv_exactly,
                      recv_until_eof, reset, sending, served, unacknowledged, visit)
from .configuration import (DEFAULTS, accepting, config, config_in, hub, relay, service, settings, value,
                            workers)
from .daemon import DRAINING, LOOP_KBYTES, SHADOWED, Daemon, run_selectd
from .name_server import NameServer
from .peers import Server, Upstream, answer, backlog_of, free_port, listening, local
from .processes import (SANITIZE, SANITIZER, SELECTC, SELECTD, WITHOUT_QUARANTINE, cannot_run,
                        die_with_parent, environment, own_mounts, preloaded, raise_descriptor_limit)
from .relayed_pair import relayed
from .selectc_process import running_selectc, selectc
from .systemd import AS_SYSTEMD, Journal, Manager, activated
from .waiting import DEADLINE, EARLY, in_time, until
from .worker_threads import halted, threads
