import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { wantsHelp } from '../../lake/base/config.ts';
import { describeFailure } from '../../lake/base/service.ts';
import { tableText } from './print.ts';
import { ask, askHelp, readAsk } from './settings.ts';

// `firn sql`: one statement, its rows as a table, or as JSON or CSV as they stream in.

interface SqlAnswer {
  readonly columns: readonly { readonly name: string }[];
  readonly rows: readonly (readonly unknown[])[];
  readonly error?: { readonly message: string };
}

export async function main(argv: readonly string[]): Promise<number> {
  if (wantsHelp(argv)) {
    process.stdout.write(askHelp('sql', 'Runs one SQL statement on a gateway or a cloud.'));
    return 0;
  }
  try {
    const { query, settings } = readAsk('sql', argv);
    const accept = settings.csv ? 'text/csv' : 'application/json';
    const response = await ask(settings, 'api/v1/firn/sql', {
      method: 'POST',
      body: query,
      headers: { 'Content-Type': 'text/plain', Accept: accept },
    });
    if ((settings.json || settings.csv) && response.body) {
      await pipeline(
        Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]),
        process.stdout,
        { end: false },
      );
      return 0;
    }
    const { columns, rows, error } = (await response.json()) as SqlAnswer;
    process.stdout.write(
      tableText(
        columns.map(({ name }) => name),
        rows,
      ),
    );
    process.stdout.write(`(${rows.length} ${rows.length === 1 ? 'row' : 'rows'})\n`);
    if (error) throw new Error(error.message);
    return 0;
  } catch (error) {
    process.stderr.write(`${describeFailure('firn sql', error)}\n`);
    return 1;
  }
}
