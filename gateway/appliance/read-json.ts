import { lstatSync, readFileSync } from 'node:fs';
import type { z } from 'zod';

const bytesMax = 64 * 1024;

/**
 * A document of another process, which may be a stranger's by now: undefined for what is not there, no plain file, too
 * large, or no such document.
 */
export function readJson<T>(path: string, schema: z.ZodType<T>): T | undefined {
  try {
    const file = lstatSync(path);
    if (!file.isFile() || file.size > bytesMax) return undefined;
    return schema.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}
