# SPDX-License-Identifier: MIT
# The last step of "cmake --install": installs /etc/selectd.conf, and adapts paths in installed texts.
#
# In the source tree, units, pages and examples have the paths of a package: /usr and /etc. Here the
# installed copies get the paths of their prefix. This cannot be done earlier, because the option
# --prefix of "cmake --install" may differ from the prefix that was configured.
#
# CMakeLists.txt sets these variables: source, its own directory; sysconfdir, an absolute path; and
# sbindir, bindir, mandir and docdir, which may be relative to the prefix.

set(prefix "${CMAKE_INSTALL_PREFIX}/")
cmake_path(ABSOLUTE_PATH prefix)
set(systemd lib/systemd)
foreach(directory IN ITEMS sbindir bindir mandir docdir systemd)
        cmake_path(ABSOLUTE_PATH ${directory} BASE_DIRECTORY "${prefix}" NORMALIZE)
endforeach()

function(put_paths file)
        file(READ "$ENV{DESTDIR}${file}" text)
        string(REPLACE /usr/sbin/selectd "${sbindir}/selectd" text "${text}")
        string(REPLACE /usr/bin/selectc "${bindir}/selectc" text "${text}")
        string(REPLACE /usr/share/doc/selectd "${docdir}" text "${text}")
        string(REPLACE /usr/lib/systemd/ "${systemd}/" text "${text}")
        string(REPLACE /etc/selectd.conf "${sysconfdir}/selectd.conf" text "${text}")
        file(WRITE "$ENV{DESTDIR}${file}" "${text}")
endfunction()

# A configuration that exists is never overwritten.
if(NOT EXISTS "$ENV{DESTDIR}${sysconfdir}/selectd.conf")
        file(INSTALL "${source}/conf/selectd.conf" DESTINATION "${sysconfdir}")
        put_paths("${sysconfdir}/selectd.conf")
endif()
foreach(unit IN ITEMS selectd.service selectd.socket selectd@.service selectd@.socket)
        put_paths("${systemd}/system/${unit}")
endforeach()
put_paths("${systemd}/catalog/selectd.catalog")
put_paths("${mandir}/man8/selectd.8")
put_paths("${mandir}/man1/selectc.1")
put_paths("${mandir}/man5/selectd.conf.5")
put_paths("${docdir}/examples/selectd.conf")
put_paths("${docdir}/examples/article.conf")
