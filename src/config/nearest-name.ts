// Finds the name somebody probably meant, for error messages.

/** The known name closest to `name`, null when none is close enough to be worth suggesting. */
export function nearestName(name: string, known: Iterable<string>): string | null {
  let found: string | null = null;
  // A third of the letters may be wrong; below that a suggestion confuses more than it helps.
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance >= least) continue;
    least = distance;
    found = candidate;
  }
  return found;
}

/** `; did you mean …?`, or nothing. */
export function suggestion(name: string, known: Iterable<string>): string {
  const nearest = nearestName(name, known);
  return nearest === null ? '' : `; did you mean \`${nearest}\`?`;
}

/** Levenshtein distance; names are short, so the plain table is enough. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const changed = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const removed = (previous[column] ?? 0) + 1;
      const added = (current[column - 1] ?? 0) + 1;
      current.push(Math.min(changed, removed, added));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}
