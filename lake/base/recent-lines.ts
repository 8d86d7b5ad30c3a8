/** Keeps the newest lines that are written through it. */
export function recentLines(write: (line: string) => void, linesMax = 500) {
  const lines: string[] = [];
  return {
    write: (line: string): void => {
      lines.push(line);
      if (lines.length > linesMax) lines.shift();
      write(line);
    },
    lines: (): readonly string[] => lines,
  };
}
