import { globSync, readFileSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { describeIssue, type ScrapeConfig, targetGroup } from './config-file.ts';
import type { TargetGroup } from './targets.ts';

/** Target groups from files, which are read again when they change. */
export interface FileDiscovery {
  /**
   * The groups of these jobs' files as they are now. A file that can't be read as it is keeps the groups that it had, as
   * in Prometheus: it may be half written. One that is gone has none.
   */
  read(config: ScrapeConfig): readonly TargetGroup[];
  /** What is wrong with files, by their paths. */
  readonly problems: ReadonlyMap<string, string>;
}

interface KnownFile {
  /** Its time and size when it was read last. */
  readonly version: string;
  readonly groups: readonly TargetGroup[];
}

export function createFileDiscovery(folder: string): FileDiscovery {
  const known = new Map<string, KnownFile>();
  const problems = new Map<string, string>();
  const readFile = (path: string): readonly TargetGroup[] => {
    const before = known.get(path);
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const version = `${mtimeMs} ${size} ${ino}`;
      if (before?.version === version) return before.groups;
      known.set(path, { version, groups: before?.groups ?? [] });
      const groups = readTargetGroups(path);
      known.set(path, { version, groups });
      problems.delete(path);
      return groups;
    } catch (error) {
      problems.set(path, messageOf(error));
      return before?.groups ?? [];
    }
  };
  return {
    problems,
    read: (config) => {
      const patterns = config.file_sd_configs.flatMap(({ files }) => files);
      const paths = new Set(patterns.flatMap((pattern) => globSync(inFolder(folder, pattern)).sort()));
      return [...paths].flatMap(readFile);
    },
  };
}

export const inFolder = (folder: string, path: string): string =>
  isAbsolute(path) ? path : join(folder, path);

/** Throws FirnError `invalid` that says what is wrong in the file. */
export function readTargetGroups(path: string): TargetGroup[] {
  let tree: unknown;
  try {
    tree = parseYaml(readFileSync(path, 'utf8')) ?? []; // JSON is YAML
  } catch (error) {
    throw refused(path, [messageOf(error).split('\n')[0] ?? '']);
  }
  const result = z.array(targetGroup).safeParse(tree);
  if (!result.success) throw refused(path, result.error.issues.flatMap(describeIssue));
  return result.data.map(({ targets, labels }) => ({
    targets,
    labels: { ...labels, __meta_filepath: path },
  }));
}

const refused = (path: string, problems: readonly string[]): FirnError =>
  new FirnError({
    code: 'invalid',
    operation: 'read targets',
    subject: path,
    message: `${path}: ${problems.join('\n  ')}`,
    hint: 'it has to be a list such as [{"targets": ["host:9100"], "labels": {"room": "a"}}]',
  });
