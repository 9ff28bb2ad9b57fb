// A routing history in a few lines over plain objects, without slices and without an index: what both
// cores' histories are held against.

/** One place of the cache. */
interface Place {
  /** Key of a prompt's block; null for anything else. */
  key: string | null;
  /** Holds something the engine may find: it waits in line when it is free. */
  filled: boolean;
  users: number;
  /** The answer that followed when this was a prompt's last block, and how long it was. */
  answer: Place[];
  answerBlocks: number;
}

interface ModelRun {
  readonly keys: readonly string[];
  readonly promptTokens: number;
  readonly places: Place[];
  hits: number;
  hitting: boolean;
}

export interface ModelShape {
  readonly capacityBlocks: number;
  readonly blockSize: number;
}

export class ModelHistory {
  readonly #shape: ModelShape;
  readonly #runs = new Map<number, ModelRun>();
  #waiting: ModelRun[] = [];
  /** Free places: those without a content, last in first out, then the others by age. */
  #spare: Place[] = [];
  #line: Place[] = [];
  readonly #places: Place[] = [];

  constructor(shape: ModelShape) {
    this.#shape = shape;
  }

  /** Keys a prompt could hit. */
  held(): Set<string> {
    return new Set(this.#places.flatMap(({ key }) => key ?? []));
  }

  get requests(): number {
    return this.#runs.size;
  }

  /** Requests for which nothing is free. */
  get waiting(): number {
    return this.#waiting.length;
  }

  begin(id: number, keys: readonly string[], promptTokens: number): void {
    const kept = keys.slice(0, this.#shape.capacityBlocks);
    const run = { keys: kept, promptTokens, places: [], hits: 0, hitting: true };
    this.#runs.set(id, run);
    this.#waiting.push(run);
    this.#work();
  }

  end(id: number, computed: number, cached: number): void {
    const run = this.#leave(id);
    if (run === null) return;
    const filled = this.#fill(run);
    const { blockSize } = this.#shape;
    const found = cached < 0 ? run.hits : Math.floor(cached / blockSize);
    for (let missed = run.hits - found; missed > 0; missed -= 1) {
      const place = this.#take();
      if (place === null) break;
      place.filled = true;
      this.#free(place);
    }
    if (filled) this.#answer(run, computed);
    for (const place of run.places.reverse()) this.#free(place);
    this.#work();
  }

  withdraw(id: number): void {
    const run = this.#leave(id);
    if (run === null) return;
    for (const place of run.places.slice(run.hits)) if (place.users === 1) this.#empty(place);
    for (const place of run.places.reverse()) this.#free(place);
    this.#work();
  }

  #leave(id: number): ModelRun | null {
    const run = this.#runs.get(id) ?? null;
    this.#runs.delete(id);
    this.#waiting = this.#waiting.filter((waiting) => waiting !== run);
    return run;
  }

  #work(): void {
    while (this.#waiting[0] !== undefined && this.#fill(this.#waiting[0])) this.#waiting.shift();
  }

  /** True when all of the prompt has its places. */
  #fill(run: ModelRun): boolean {
    const { blockSize, capacityBlocks } = this.#shape;
    const { keys, places, promptTokens } = run;
    const reusable = Math.min(keys.length, Math.floor(Math.max(0, promptTokens - 1) / blockSize));
    while (run.hitting && places.length < reusable) {
      const hit = this.#places.find(({ key }) => key === keys[places.length]);
      if (hit === undefined) break;
      this.#use(hit);
      places.push(hit);
      run.hits += 1;
    }
    if (run.hitting) this.#continueAnswer(run, reusable);
    run.hitting = false;
    const wanted = Math.min(Math.ceil(promptTokens / blockSize), capacityBlocks);
    while (places.length < wanted) {
      const place = this.#take();
      if (place === null) return false;
      const key = keys[places.length];
      places.push(place);
      if (key !== undefined) this.#give(place, key);
    }
    return true;
  }

  #continueAnswer(run: ModelRun, reusable: number): void {
    const last = run.places.at(-1);
    if (last === undefined || run.places.length >= reusable) return;
    if (run.places.length + last.answerBlocks > reusable) return;
    for (const place of [...last.answer]) {
      this.#use(place);
      this.#give(place, run.keys[run.places.length] ?? '');
      run.places.push(place);
      run.hits += 1;
    }
    last.answer = [];
  }

  #answer(run: ModelRun, computed: number): void {
    const { blockSize } = this.#shape;
    const full = Math.floor(computed / blockSize);
    const last = run.places[run.keys.length - 1];
    const known = last?.key === run.keys.at(-1) && last?.key !== undefined ? last : null;
    for (let at = run.keys.length; at < Math.ceil(computed / blockSize); at += 1) {
      const place = run.places[at] ?? this.#take();
      if (place === null) return;
      run.places[at] = place;
      if (at >= full) return;
      place.filled = true;
      if (known === null) continue;
      if (at === run.keys.length) {
        known.answer = [];
        known.answerBlocks = full - run.keys.length;
      }
      known.answer.push(place);
    }
  }

  /** A free place, emptied. */
  #take(): Place | null {
    let place = this.#spare.pop();
    if (place === undefined && this.#places.length < this.#shape.capacityBlocks) {
      place = { key: null, filled: false, users: 0, answer: [], answerBlocks: 0 };
      this.#places.push(place);
    }
    place ??= this.#line.shift();
    if (place === undefined) return null;
    this.#empty(place);
    place.users = 1;
    return place;
  }

  #use(place: Place): void {
    if (place.users === 0) this.#line = this.#line.filter((free) => free !== place);
    place.users += 1;
  }

  #free(place: Place): void {
    place.users -= 1;
    if (place.users === 0) (place.filled ? this.#line : this.#spare).push(place);
  }

  #give(place: Place, key: string): void {
    for (const other of this.#places) {
      if (other.key !== key) continue;
      other.key = null;
      other.answer = [];
    }
    this.#cut(place);
    place.key = key;
    place.filled = true;
    place.answer = [];
  }

  #empty(place: Place): void {
    this.#cut(place);
    place.key = null;
    place.filled = false;
    place.answer = [];
  }

  /** An answer ends before a place that is used otherwise now. */
  #cut(place: Place): void {
    for (const { answer } of this.#places) {
      const at = answer.indexOf(place);
      if (at >= 0) answer.length = at;
    }
  }
}
