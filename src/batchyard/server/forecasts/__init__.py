"""When waiting jobs will start, asked of a process of its own: futures cost a processor's time, and the loop's is not
for that."""
