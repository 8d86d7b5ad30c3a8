import { expect, test } from 'vitest';
import { parseStatements } from '../parse.ts';
import { needsNoJson } from './json-as-text.ts';

test.each([
  [
    `SELECT json_extract_string(labels, 'a'), value FROM metrics WHERE json_extract(m.labels, 'b') IS NULL`,
    true,
  ],
  [`SELECT count(*) FROM metrics m JOIN logs l ON m.site = l.site`, true],
  [`SELECT json_extract_string(labels, 'a'), labels, m.labels AS l FROM metrics m LIMIT 3`, true],
  [`SELECT * FROM metrics`, true],
  [`SELECT m.*, l.* FROM metrics m, logs l`, true],
  [`SELECT * FROM (SELECT * FROM metrics) x`, false],
  [`WITH x AS (SELECT labels FROM metrics) SELECT * FROM x`, false],
  [`SELECT labels FROM metrics UNION SELECT '1'`, false],
  [`SELECT labels FROM metrics GROUP BY labels`, false],
  [`SELECT labels FROM metrics WHERE labels = '{}'`, false],
  [`SELECT labels, m FROM metrics m`, false],
  [`SELECT upper(labels) FROM metrics`, false],
  [`SELECT upper("Labels") FROM metrics`, false],
  [`SELECT json_extract_string(lower(labels), 'a') FROM metrics`, false],
  [`SELECT other.json_extract_string(labels, 'a') FROM metrics`, false],
  [`SELECT count(m) FROM metrics m`, false],
  [`SELECT row_to_json(METRICS) FROM metrics`, false],
  [`SELECT x FROM metrics AS m(a, b, c, d, x)`, false],
  [`SELECT l FROM (SELECT labels AS l FROM metrics) x`, false],
  [`SELECT 1 FROM metrics JOIN logs USING (labels)`, false],
  [`SELECT 1 FROM metrics NATURAL JOIN logs`, false],
  [`SELECT json_extract_string(labels, 'a') FROM metrics ORDER BY labels`, false],
])('%s: %s', (text, is) => {
  const [parsed] = parseStatements(text, 1000);
  expect(parsed?.node && needsNoJson(parsed.node)).toBe(is);
});
