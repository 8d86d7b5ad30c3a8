/** Thousands of lost races and killed processes would otherwise each write down where they were. */
export async function withoutStacks<T>(act: () => Promise<T>): Promise<T> {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = 2;
  try {
    return await act();
  } finally {
    Error.stackTraceLimit = before;
  }
}
