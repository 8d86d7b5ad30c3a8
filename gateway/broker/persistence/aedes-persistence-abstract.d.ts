// The contract tests of aedes' persistence ship no types.
declare module 'aedes-persistence/abstract.js' {
  function abstractPersistence(options: {
    readonly test: (name: string, run: (t: unknown) => Promise<void>) => void;
    readonly persistence: () => unknown;
    readonly testAsync: boolean;
  }): void;
  export = abstractPersistence;
}
