const extracted = '_extracted';

/** The names of metadata that can become one of these labels. */
export function metadataNames(labels: readonly string[] | undefined): readonly string[] | undefined {
  if (labels === undefined) return undefined;
  return [
    ...new Set(
      labels.flatMap((name) =>
        name.endsWith(extracted) ? [name, name.slice(0, -extracted.length)] : [name],
      ),
    ),
  ];
}
