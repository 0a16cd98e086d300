# Also for services of others that log into files: gone with a restart, like all of /var that is not on the data partition.
VOLATILE_BINDS:append = " ${localstatedir}/volatile/log ${localstatedir}/log\n"
