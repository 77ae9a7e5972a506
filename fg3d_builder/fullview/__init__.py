"""Full-view augmentation: complete the depth, turn the head, paint what comes into sight."""
