import { z } from 'zod';
import type { UploadResume } from '../object-store.ts';

/** A multipart upload that has begun and has not ended: what it takes to go on with it. */
export interface Unfinished {
  readonly uploadId: string;
  readonly writeId: string;
  readonly partBytes: number;
  /** Of the parts that are there, as the server gave them; null where one is missing. */
  readonly etags: (string | null)[];
}

/** What is uploaded to where. Another file, or the same one modified, is another subject. */
export interface Subject {
  readonly place: string;
  readonly sizeBytes: number;
  readonly modifiedNs: string;
}

const savedSchema = z.strictObject({
  format: z.literal(1),
  place: z.string(),
  sizeBytes: z.number(),
  modifiedNs: z.string(),
  uploadId: z.string().min(1),
  writeId: z.string(),
  partBytes: z.int().positive(),
  etags: z.array(z.string().nullable()),
});

/**
 * What was saved, `mine` when it is of this subject. Another's at the same place can only be thrown away; what is of
 * another place or can't be read is left to the bucket's rule for unfinished uploads.
 */
export function loadUnfinished(
  resume: UploadResume | undefined,
  subject: Subject,
): { readonly upload: Unfinished; readonly mine: boolean } | undefined {
  const saved = savedSchema.safeParse(parseJson(resume?.load()));
  if (!saved.success || saved.data.place !== subject.place) return undefined;
  const { uploadId, writeId, partBytes, etags, sizeBytes, modifiedNs } = saved.data;
  const mine =
    sizeBytes === subject.sizeBytes &&
    modifiedNs === subject.modifiedNs &&
    etags.length === Math.ceil(sizeBytes / partBytes);
  return { upload: { uploadId, writeId, partBytes, etags }, mine };
}

function parseJson(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function printUnfinished(upload: Unfinished, subject: Subject): string {
  return JSON.stringify({ format: 1, ...subject, ...upload });
}

/** Saves one after the other, so that an older state never overtakes a newer one. */
export function inOrder(save: (state: string) => Promise<void> | void): (state: string) => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return (state) => {
    last = last.then(() => save(state));
    return last;
  };
}
