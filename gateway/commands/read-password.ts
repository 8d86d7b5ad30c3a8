import { text } from 'node:stream/consumers';
import { FirnError } from '../../lake/base/errors.ts';

/** The first line of standard input, or what is typed unseen. Throws FirnError `invalid` for one that is too short. */
export async function readPassword(name: string, charactersMin: number): Promise<string> {
  const password = await typed(name);
  if ([...password].length >= charactersMin) return password;
  throw new FirnError({
    ...{ code: 'invalid', operation: 'read a password', subject: name },
    message:
      password === '' ? 'the password is empty' : `the password has less than ${charactersMin} characters`,
    hint: 'write it to standard input, in one line',
  });
}

async function typed(name: string): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).split(/\r?\n/, 1)[0] ?? '';
  process.stderr.write(`password of ${name}: `);
  process.stdin.setRawMode(true);
  let password = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    for (const character of String(chunk)) {
      if (character === '\u0003') process.exit(130);
      if (character === '\r' || character === '\n') {
        process.stdin.setRawMode(false);
        process.stderr.write('\n');
        return password;
      }
      password = character === '\u007f' ? password.slice(0, -1) : password + character;
    }
  }
  return password;
}
