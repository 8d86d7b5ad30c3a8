/** Whether a topic matches a subscription's filter [MQTT-4.7]. A wildcard at the start does not match `$` topics. */
export function topicMatches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false;
  const wanted = filter.split('/');
  const levels = topic.split('/');
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true; // also the parent level itself [MQTT-4.7.1-2]
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false;
  }
  return wanted.length === levels.length;
}

/** Whether every topic that `filter` matches is matched by `outer` too. */
export function filterCovers(outer: string, filter: string): boolean {
  if (filter.startsWith('$') && (outer.startsWith('+') || outer.startsWith('#'))) return false;
  const wide = outer.split('/');
  const narrow = filter.split('/');
  for (const [index, level] of wide.entries()) {
    if (level === '#') return true;
    const other = narrow[index];
    if (other === undefined || other === '#') return false;
    if (level !== '+' && level !== other) return false;
  }
  return wide.length === narrow.length;
}

export const hasWildcard = (filter: string): boolean => /[+#]/.test(filter);
