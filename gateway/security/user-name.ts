import { FirnError } from '../../lake/base/errors.ts';

const nameBytesMax = 256;

/** Throws FirnError `invalid` for a name that files and logins can't hold. */
export function checkUserName(name: string): void {
  if (
    /^[^:\s\p{Cc}][^:\n\p{Cc}]*$/u.test(name) &&
    !/^[#_]/.test(name) &&
    Buffer.byteLength(name) <= nameBytesMax
  )
    return;
  throw new FirnError({
    ...{ code: 'invalid', operation: 'name a user', subject: name },
    message: `${JSON.stringify(name)} can't be the name of a user`,
    hint: `a name has up to ${nameBytesMax} bytes, no colon and no control characters, and does not begin with # or _`,
  });
}
