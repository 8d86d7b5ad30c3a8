/**
 * Texts of which any match of a regular expression has one: for each way in which it can match, the texts that must all
 * be there then. Undefined where it can match without any that is long enough, or where this does not know.
 */
export function requiredLiterals(pattern: string, lengthMin = 3): readonly (readonly string[])[] | undefined {
  const ways: string[][] = [];
  for (const branch of branchesOf(pattern)) {
    const literals = literalsOf(branch)?.filter((text) => text.length >= lengthMin) ?? [];
    if (literals.length === 0) return undefined;
    ways.push(literals);
  }
  return ways;
}

/** The alternatives of the whole expression. */
function branchesOf(pattern: string): readonly string[] {
  const branches: string[] = [];
  let [depth, from] = [0, 0];
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at];
    if (char === '\\') at++;
    else if (char === '[') at = classEnd(pattern, at);
    else if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === '|' && depth === 0) {
      branches.push(pattern.slice(from, at));
      from = at + 1;
    }
  }
  return [...branches, pattern.slice(from)];
}

/** The closing bracket of a class; a bracket that comes first stands for itself. */
function classEnd(pattern: string, start: number): number {
  let at = pattern[start + 1] === '^' ? start + 2 : start + 1;
  if (pattern[at] === ']') at++;
  while (at < pattern.length && pattern[at] !== ']') {
    if (pattern[at] === '\\') at++;
    else if (pattern.startsWith('[:', at)) at = Math.max(at, pattern.indexOf(':]', at) + 1);
    at++;
  }
  return at;
}

/** Texts that stand in a branch as they are; undefined where flags or escapes may mean more than is known here. */
function literalsOf(branch: string): readonly string[] | undefined {
  const found: string[] = [];
  let text = '';
  const end = (): void => {
    found.push(text);
    text = '';
  };
  for (let at = 0; at < branch.length; at++) {
    const char = branch[at] ?? '';
    if (char === '(') {
      if (branch.startsWith('(?', at) && !/^\(\?(?::|P?<)/.test(branch.slice(at))) return undefined;
      end();
      at = groupEnd(branch, at);
    } else if (char === '[') {
      end();
      at = classEnd(branch, at);
    } else if ('.^$'.includes(char)) end();
    else if ('*?{'.includes(char)) {
      // What is before it need not be there, or not only once.
      text = [...text].slice(0, -1).join('');
      end();
      if (char === '{') at = Math.max(at, branch.indexOf('}', at));
    } else if (char === '+') end();
    else if (char === '\\') {
      const next = branch[++at] ?? '';
      if (/[a-zA-Z0-9]/.test(next)) {
        if (!'dDwWsSbBA'.includes(next) && next !== 'z') return undefined;
        end();
      } else text += next;
    } else text += char;
  }
  end();
  return found;
}

function groupEnd(branch: string, start: number): number {
  let depth = 0;
  for (let at = start; at < branch.length; at++) {
    const char = branch[at];
    if (char === '\\') at++;
    else if (char === '[') at = classEnd(branch, at);
    else if (char === '(') depth++;
    else if (char === ')' && --depth === 0) return at;
  }
  return branch.length;
}
