"""`python -m recsys_course` is the command `recsys-course`, also where the folder of commands is not on the path."""

from recsys_course.cli import main

if __name__ == "__main__":
    main()
