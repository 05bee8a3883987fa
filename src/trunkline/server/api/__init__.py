"""The routes that are not inference: one file each subject. They parse, call and write."""
