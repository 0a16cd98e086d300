// Sends a large file and says how far it is, which `fetch` cannot.

import { api, type Query } from './client';
import { ApiError, parseProblem, Unreachable } from './problem';

export interface Upload<T> {
  readonly done: Promise<T>;
  readonly cancel: () => void;
}

/** `onsent` gets the bytes that are on their way or there. A cancelled upload never settles. */
export function upload<T>(
  path: string,
  query: Query,
  file: Blob,
  onsent: (bytes: number) => void,
): Upload<T> {
  const request = new XMLHttpRequest();
  const done = new Promise<T>((resolve, reject) => {
    request.open('POST', api.url(path, query));
    request.setRequestHeader('Accept', 'application/json, application/problem+json');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    if (api.csrf !== null) request.setRequestHeader('X-CSRF-Token', api.csrf);
    request.upload.onprogress = (event) => onsent(event.loaded);
    request.onerror = () => reject(new Unreachable('the connection broke off'));
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) {
        resolve(JSON.parse(request.responseText) as T);
        return;
      }
      if (request.status === 401) api.onUnauthorised();
      reject(new ApiError(request.status, parseProblem(request.status, request.responseText)));
    };
    request.send(file);
  });
  return { done, cancel: () => request.abort() };
}
