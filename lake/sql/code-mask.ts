/**
 * A text of SQL with everything that is not code (strings, quoted names, comments) blanked out, each character by one
 * space: so that words can be looked for, and stand where they stood. One pass, whatever the text.
 */
export function codeMask(text: string): string {
  let mask = '';
  let at = 0;
  for (const { start, end } of quotedIn(text)) {
    mask += text.slice(at, start) + ' '.repeat(end - start);
    at = end;
  }
  return mask + text.slice(at);
}

/** Where something that is not code may begin. */
const opening = /'|"|--|\/\*|\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/g;

function* quotedIn(text: string): Generator<{ readonly start: number; readonly end: number }> {
  opening.lastIndex = 0;
  for (let found = opening.exec(text); found; found = opening.exec(text)) {
    const start = found.index;
    const end = endOf(text, start, found[0]);
    yield { start, end };
    opening.lastIndex = end;
  }
}

function endOf(text: string, start: number, open: string): number {
  switch (open) {
    case '--': {
      const end = text.indexOf('\n', start);
      return end < 0 ? text.length : end;
    }
    case '/*':
      return endOfComment(text, start);
    case "'":
      return endOfString(
        text,
        start + 1,
        "'",
        /[eE]/.test(text[start - 1] ?? '') && !/\w/.test(text[start - 2] ?? ''),
      );
    case '"':
      return endOfString(text, start + 1, '"', false);
    default: {
      const end = text.indexOf(open, start + open.length);
      return end < 0 ? text.length : end + open.length;
    }
  }
}

/** A doubled quote stands for one, and does not end the string. */
function endOfString(text: string, from: number, quote: string, escapes: boolean): number {
  let at = from;
  for (; at < text.length; at++) {
    if (escapes && text[at] === '\\') at++;
    else if (text[at] === quote) {
      if (text[at + 1] !== quote) return at + 1;
      at++;
    }
  }
  return text.length;
}

/** PostgreSQL's comments nest. */
function endOfComment(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length - 1; at++) {
    const pair = text.slice(at, at + 2);
    if (pair === '/*') depth++;
    else if (pair === '*/' && --depth === 0) return at + 2;
    if (pair === '/*' || pair === '*/') at++;
  }
  return text.length;
}
