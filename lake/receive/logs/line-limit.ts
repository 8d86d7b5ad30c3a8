/** Bytes of one log line, whatever protocol brings it as text of its own. */
export const lineBytesMax = 1024 * 1024;
