/** Queries that are answered from rollups of an hour or a minute, where steps are multiples of those. */
export const rolledQueries = [
  ...['a_total', 'timestamp(b_total offset 1h)', 'sum(a_total) / count(b_total)', '-b_total'],
  ...['count_over_time(a_total[2h])', 'sum_over_time(b_total[3h])', 'avg_over_time(a_total[1h])'],
  ...['min_over_time(a_total[2h])', 'max_over_time(b_total[2h] offset 1h)', 'present_over_time(a_total[1h])'],
  ...['first_over_time(a_total[2h])', 'last_over_time(a_total[2h])', 'absent_over_time(b_total[1h])'],
  ...['ts_of_first_over_time(a_total[2h])', 'ts_of_last_over_time(a_total[2h])'],
  ...['rate(a_total[2h])', 'increase(b_total[1h])', 'delta(a_total[4h])', 'sum(rate({__name__=~".+"}[1h]))'],
  ...['resets(a_total[3h])', 'changes(a_total[2h])', 'max_over_time(rate(a_total[2h])[4h:1h])'],
  ...['rate(a_total[6h] @ 3620345)', 'avg_over_time(a_total[7h] @ end() offset 11s)'],
];
