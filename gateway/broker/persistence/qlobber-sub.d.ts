// The trie of aedes' own persistence ships no types.
declare module 'qlobber/aedes/qlobber-sub.js' {
  interface Subscription {
    readonly clientId: string;
    readonly topic: string;
    readonly qos: 0 | 1 | 2;
  }
  class QlobberSub {
    constructor(options: Readonly<Record<string, unknown>>);
    readonly subscriptionsCount: number;
    add(topic: string, subscription: Subscription): void;
    remove(topic: string, subscription: { readonly clientId: string; readonly topic: string }): void;
    match(topic: string): Subscription[];
  }
  export = QlobberSub;
}
