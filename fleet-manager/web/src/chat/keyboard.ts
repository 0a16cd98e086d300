// A phone's keyboard lies over the page where the browser does not make the page smaller for it: what one types into stays
// above it.

/** Keeps an element that fills the window down to its bottom above the keyboard; it has the class `typing` meanwhile. */
export function aboveKeyboard(node: HTMLElement): (() => void) | void {
  const { visualViewport: view } = window;
  if (view === null) return;
  const fit = () => {
    const writing =
      node.contains(document.activeElement) && document.activeElement?.matches('textarea, input');
    // Pinched to a closer look, the visible part is small for another reason.
    const covered =
      writing === true && view.scale <= 1.01
        ? Math.round(node.getBoundingClientRect().bottom - (view.offsetTop + view.height))
        : 0;
    node.style.paddingBottom = covered > 0 ? `${covered}px` : '';
    node.classList.toggle('typing', covered > 0);
  };
  view.addEventListener('resize', fit);
  view.addEventListener('scroll', fit);
  node.addEventListener('focusin', fit);
  node.addEventListener('focusout', fit);
  return () => {
    view.removeEventListener('resize', fit);
    view.removeEventListener('scroll', fit);
    node.removeEventListener('focusin', fit);
    node.removeEventListener('focusout', fit);
  };
}
