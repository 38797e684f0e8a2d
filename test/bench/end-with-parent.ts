/**
 * Loaded into every program that the benchmark starts: when the benchmark is gone, however that happened, they
 * stop as if they had been asked to.
 */
process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();
