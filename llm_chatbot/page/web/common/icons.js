// The page's icons, as lines in a square of 24 units.
export const ICONS = {
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  clip: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.3 3.3 0 0 1 4.7 4.7L9.5 17a1.7 1.7 0 0 1-2.4-2.4L14.500 7",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM5 15V4h11",
  down: "M12 4v15M6 13l6 6 6-6",
  done: "M5 13l4 4L19 7",
  fork: "M6 4v16M6 14c8 0 12-2 12-8M15 8l3-3 3 3",
  info: "M12 3a9 9 0 1 0 .01 0M12 11v6M12 7.500v.01",
  left: "M15 5l-7 7 7 7",
  list: "M4 7h16M4 12h16M4 17h10",
  pen: "M4 20h4L19 9l-4-4L4 16z",
  pin: "M9 4h6l-1 6 4 4H6l4-4zM12 14v7",
  plus: "M12 5v14M5 12h14",
  repeat: "M20 11A8 8 0 1 0 18 17.500M20 5v6h-6",
  right: "M9 5l7 7-7 7",
  settings: "M4 8h9M18 8h2M4 16h3M12 16h8M15.500 5.500a2.500 2.500 0 1 0 .01 0M9.500 13.500a2.500 2.500 0 1 0 .01 0",
};
