import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cloudSettings } from '../../cloud/config.ts';
import { gatewaySettings } from '../../gateway/config.ts';
import type { Setting } from '../../lake/base/config.ts';

// The README's configuration tables are the schemas, word for word.

const readme = readFileSync(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');

const row = (setting: Setting): string =>
  `| \`${setting.path}\` | ${setting.default === undefined || setting.default === '' ? '' : `\`${JSON.stringify(setting.default)}\``} | ${setting.description}${setting.choices.length > 0 ? ` (${setting.choices.join(', ')})` : ''} |`;

test.each([
  ['gateway', gatewaySettings],
  ['cloud', cloudSettings],
])('the README has every setting of the %s, with its default', (name, settings) => {
  const table = ['| setting | default | |', '| --- | --- | --- |', ...settings.map(row)].join('\n');
  expect(readme, `put this below "### Settings of the ${name}":\n${table}\n`).toContain(table);
});
