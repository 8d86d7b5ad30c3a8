/**
 * The object-store port. Implementations: directory/ and s3/; one contract suite (test/contract/) runs against both.
 *
 * Errors are FirnError: `not-found` (no such object), `conflict` (a precondition was lost: read again and decide),
 * `denied`, `unavailable` (may work later), `invalid` (bad key or range).
 */
export interface ObjectStore {
  /** Where it is, for logs: no secrets. */
  readonly description: string;

  /** Writes or replaces. Idempotent for the same bytes. When it resolves the object is durable. */
  put(key: string, body: Uint8Array, options?: WriteOptions): Promise<ObjectInfo>;
  /** Writes only if no object has this key; else throws `conflict`. Of concurrent callers exactly one succeeds. */
  putIfAbsent(key: string, body: Uint8Array, options?: WriteOptions): Promise<ObjectInfo>;
  /** Replaces only if the object still has this etag; else throws `conflict`. */
  putIfMatch(key: string, body: Uint8Array, etag: string, options?: WriteOptions): Promise<ObjectInfo>;
  /**
   * Writes or replaces from a local file, in parts when it is large; nothing is visible until it is whole. Write-only
   * credentials suffice. When it fails, what was sent is thrown away, unless it can be resumed.
   */
  putFile(key: string, path: string, options?: WriteOptions): Promise<ObjectInfo>;

  get(key: string, options?: ReadOptions): Promise<StoredObject>;
  /** Bytes [startByte, endByte), cut at the end of the object; `invalid` when it starts past the end. */
  getRange(key: string, startByte: number, endByte: number, options?: ReadOptions): Promise<Uint8Array>;
  /** Writes the object into a local file (created or replaced) and returns its size in bytes. */
  getFile(key: string, path: string, options?: ReadOptions): Promise<number>;
  head(key: string, options?: ReadOptions): Promise<ObjectInfo>;

  /** Objects under a prefix in ascending order of key (UTF-8 bytes), only keys greater than `after`. */
  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectInfo>;
  /**
   * The distinct next path segments below a prefix that ends in `/`: for `t/inbox/`, the gateways. In the order of the
   * keys below them, so compared with their `/`: `a-b`, then `a`.
   */
  listFolders(prefix: string, options?: ReadOptions): AsyncIterable<string>;
  /** Deletes; no error when it is not there. */
  delete(key: string, options?: ReadOptions): Promise<void>;

  /**
   * The path of a local file that holds this object's bytes, when the store is a local directory; a reader then needs
   * no copy. Undefined for stores that are elsewhere. Doesn't check that the object exists.
   */
  localPath(key: string): string | undefined;
  /** What the store's clock shows, from its newest answers; undefined where there is none to learn from. */
  serverTime?(): ServerTime | undefined;
  /** Releases connections. */
  close(): void;
}

export interface ObjectInfo {
  readonly key: string;
  /** Opaque; changes whenever the object is replaced by other bytes. Without quotes. */
  readonly etag: string;
  readonly sizeBytes: number;
}

export interface StoredObject extends ObjectInfo {
  readonly body: Uint8Array;
}

interface ReadOptions {
  readonly signal?: AbortSignal;
}

export interface WriteOptions extends ReadOptions {
  readonly contentType?: string;
  readonly pace?: Pace;
  /** Of `putFile`. The directory store ignores it: it copies the file again. */
  readonly resume?: UploadResume;
}

/**
 * Awaited before so many bytes of a body go out; the S3 store cuts bodies into small pieces for it, the directory store
 * asks once for a whole body. While nothing of the request has been sent (`sentBytes` 0) it may wait for hours; after that
 * the other side hangs up after some seconds of silence. A request that is tried again asks again.
 */
export type Pace = (
  bytes: number,
  signal: AbortSignal | undefined,
  request: { readonly sentBytes: number; readonly totalBytes: number },
) => Promise<void>;

/**
 * What an unfinished upload leaves behind so that a later `putFile` of the same file, also in another process, sends only
 * what is missing. The text is the store's own; it is saved after each part. Text that is of another file, of another
 * key or can't be read counts as none. One `UploadResume` serves one `putFile` at a time.
 */
export interface UploadResume {
  load(): string | undefined;
  /** `undefined`: there is nothing to resume any more. */
  save(state: string | undefined): Promise<void> | void;
}

export interface ServerTime {
  /** The store's wall clock, milliseconds since the Unix epoch, ... */
  readonly serverMs: number;
  /** ... at this moment of our monotonic clock, ... */
  readonly atMonotonicMs: number;
  /** ... give or take. Says nothing about whether the store's clock is right; only TLS says whose it is. */
  readonly uncertaintyMs: number;
}

export interface ListOptions extends ReadOptions {
  readonly after?: string;
  /** Stop after so many; the default is all. */
  readonly limit?: number;
}
